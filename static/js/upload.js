/* Sends the upload form to the API, which checks rows while they arrive; without scripts the form sends itself.

   The chosen file and all fields stay when something is wrong, and there is no limit but the API's own.
*/

import { tryRows } from "./dryrun.js";
import "./preview.js";
import { percent, said, words } from "./show.js";
import { busy, chosenFile, complain, fieldOf, fields, form, post, status } from "./uploadform.js";

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
  const [code, answer] = await post(told, (share) => {
    status.textContent = share < 1 ? said(words.upload.uploading, { percent: percent(100 * share) }) : words.upload.checking;
  });
  if (code === 201) return location.assign(`/jobs/${encodeURIComponent(answer.job_id)}/`);
  busy(false);
  status.textContent = "";
  return complain([[fieldOf(code, answer?.error?.detail), answer?.error?.message ?? words.upload.broken]]);
}
