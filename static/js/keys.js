/* The page of keys: instants in the reader's zone, and buttons that copy. */

import "./copy.js";
import { localTimes } from "./fill.js";

localTimes(document);
