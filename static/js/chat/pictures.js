/* The pictures that go with the next message: chosen, pasted or dropped; made smaller where they are large. */

import { said, words } from "../show.js";

const phrases = words.chat;
const KINDS = new Set(["image/png", "image/jpeg", "image/webp", "image/gif"]);
const LONGEST_PX = 1568; // no model that is usual looks closer
const FINE_BYTES = 1024 * 1024;
const QUALITY = 0.85;

export class Pictures {
  /** `tell` shows what is wrong with a picture. */
  constructor({ form, settings, tell }) {
    Object.assign(this, { form, settings, tell });
    this.box = form.querySelector("[data-pictures]");
    this.input = form.elements.picture;
    this.input.multiple = true;
    this.help = form.querySelector("#picture-help");
    this.usual = this.help.textContent;
    this.urls = [];
    this.input.addEventListener("change", () => {
      this.add([...this.input.files]);
      this.input.value = "";
    });
    form.addEventListener("paste", (event) => this.from(event, event.clipboardData));
    form.addEventListener("dragover", (event) => this.over(event, true));
    form.addEventListener("dragleave", (event) => this.over(event, false));
    form.addEventListener("drop", (event) => {
      this.over(event, false);
      this.from(event, event.dataTransfer);
    });
    this.box.addEventListener("click", (event) => {
      const button = event.target.closest("[data-act=drop-picture]");
      if (button) this.drop([...this.box.children].indexOf(button.closest("li")));
    });
  }

  /** Whether pictures may be sent (yes, no, unknown), and to which model. */
  may(is, model) {
    this.is = is;
    const text = { yes: "", no: phrases.no_pictures, unknown: phrases.may_take_pictures }[is];
    this.note = said(text, { model });
    const label = this.form.querySelector("[data-choose]");
    label.setAttribute("aria-disabled", String(is === "no"));
    label.title = this.note;
    this.input.disabled = is === "no";
    this.help.textContent = is === "no" ? this.note : this.usual;
  }

  take() {
    const taken = this.urls;
    this.set([]);
    return taken;
  }

  set(urls) {
    this.urls = urls;
    this.box.replaceChildren(...urls.map((url) => {
      const row = document.getElementById("t-picture").content.firstElementChild.cloneNode(true);
      row.querySelector("img").src = url;
      return row;
    }));
  }

  drop(place) {
    this.set(this.urls.filter((_, at) => at !== place));
  }

  over(event, isOver) {
    if (!event.dataTransfer?.types.includes("Files")) return;
    event.preventDefault();
    this.form.classList.toggle("takes", isOver);
  }

  from(event, source) {
    const files = [...(source?.files ?? [])];
    if (!files.length) return;
    event.preventDefault();
    this.add(files);
  }

  async add(files) {
    this.tell("");
    if (this.is === "no") return this.tell(this.note);
    for (const file of files) {
      if (this.urls.length >= this.settings.most_pictures) return this.tell(said(phrases.pictures_many, { most: this.settings.most_pictures }));
      if (!KINDS.has(file.type)) this.tell(phrases.picture_kind);
      else await this.addOne(file);
    }
    if (this.is === "unknown" && this.urls.length) this.tell(this.note, "hint");
  }

  async addOne(file) {
    try {
      const url = await smaller(file);
      if (url.length > this.settings.most_picture_bytes * 1.37) throw new Error("large");
      this.set([...this.urls, url]);
    } catch {
      this.tell(said(phrases.picture_large, { most: this.settings.most_picture_bytes / 2 ** 20 })); // or it is no picture
    }
  }
}

async function smaller(file) {
  const picture = await createImageBitmap(file);
  const scale = Math.min(1, LONGEST_PX / Math.max(picture.width, picture.height));
  if (scale === 1 && file.size <= FINE_BYTES) return asUrl(file);
  const canvas = document.createElement("canvas");
  canvas.width = Math.max(1, Math.round(picture.width * scale));
  canvas.height = Math.max(1, Math.round(picture.height * scale));
  const pen = canvas.getContext("2d");
  pen.fillStyle = "#fff"; // JPEG knows no transparency
  pen.fillRect(0, 0, canvas.width, canvas.height);
  pen.drawImage(picture, 0, 0, canvas.width, canvas.height);
  return canvas.toDataURL("image/jpeg", QUALITY);
}

function asUrl(file) {
  return new Promise((resolve, reject) => {
    const reader = new FileReader();
    reader.onload = () => resolve(reader.result);
    reader.onerror = () => reject(reader.error);
    reader.readAsDataURL(file);
  });
}
