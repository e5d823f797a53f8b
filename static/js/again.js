/* Reads something again and again, one reading at a time: news that come meanwhile cause one more, whatever their number. */

import { heed } from "./session.js";

/** A function that reads `source` anew; `take(answer)` is given each answer that the server gave to somebody it knows. */
export function readingAgain(source, headers, take) {
  let asking = false;
  let isStale = false;
  return async function read() {
    isStale = true;
    if (asking) return;
    asking = true;
    while (isStale) {
      isStale = false;
      try {
        const answer = heed(await fetch(source, { headers }));
        if (!answer.redirected) await take(answer);
      } catch {
        break; // the mark of the socket says so, and the next news or the clock ask again
      }
    }
    asking = false;
  };
}
