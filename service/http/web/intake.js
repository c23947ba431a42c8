// Ways by which images come in: the file dialog, drag and drop, and paste.

import { byId } from "./dom.js";

export function takeFiles(add) {
  byId("files").addEventListener("change", ({ target }) => {
    const chosen = [...target.files];
    target.value = ""; // the same file can be chosen again
    if (chosen.length) add(chosen);
  });
  const mark = (over) => document.body.classList.toggle("dropping", over);
  addEventListener("dragover", (event) => {
    if (!event.dataTransfer.types.includes("Files")) return;
    event.preventDefault();
    mark(true);
  });
  addEventListener("dragleave", (event) => event.relatedTarget === null && mark(false));
  addEventListener("drop", (event) => {
    event.preventDefault();
    mark(false);
    if (event.dataTransfer.files.length) add([...event.dataTransfer.files]);
  });
  addEventListener("paste", (event) => {
    const files = [...event.clipboardData.files];
    if (files.length) add(files);
  });
}
