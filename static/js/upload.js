/* Sends the upload form to the API, which checks rows while they arrive; without scripts the form sends itself.

   The chosen file and all fields stay when something is wrong, and there is no limit but the API's own.
*/

import { tryRows } from "./dryrun.js";
import "./preview.js";
import { words } from "./show.js";
import { busy, CANCELLED, chosenFile, complain, fields, form, post, refusal, sending, status } from "./uploadform.js";

form.addEventListener("submit", (event) => {
  event.preventDefault();
  complain([]);
  if (!chosenFile()) return complain([["file", words.upload.no_file]]);
  return event.submitter?.name === "dry_run" ? tryRows() : send();
});

async function send() {
  const told = fields();
  told.append("file", chosenFile());
  busy(true);
  const [code, answer] = await post(told, sending());
  busy(false);
  if (code === 201) return location.assign(`/jobs/${encodeURIComponent(answer.job_id)}/`);
  status.textContent = code === CANCELLED ? words.upload.cancelled : "";
  return complain(code === CANCELLED ? [] : [await refusal(code, answer)]);
}
