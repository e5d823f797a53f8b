/* Two jobs side by side: shows the server's instants in the reader's zone. */

import { localTimes } from "./fill.js";

localTimes(document);
