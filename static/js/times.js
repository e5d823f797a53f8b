/* Pages that need no more than this: instants in the reader's zone, and forms that say which zone that is. */

import { localTimes } from "./fill.js";

localTimes(document);
const { timeZone } = Intl.DateTimeFormat().resolvedOptions();
for (const field of document.querySelectorAll("[name=zone]")) field.value = timeZone;
for (const place of document.querySelectorAll("[data-zone]")) place.textContent = timeZone;
