/* Two jobs side by side: shows the server's instants in the reader's zone, and asks anew as soon as the filter changes. */

import { localTimes } from "./fill.js";

localTimes(document);
for (const box of document.querySelectorAll("[data-now]")) {
  box.addEventListener("change", () => box.form.checkValidity() && box.form.requestSubmit());
}
