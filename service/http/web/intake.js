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
  addEventListener("drop", async (event) => {
    event.preventDefault();
    mark(false);
    if (event.dataTransfer.files.length) add(await droppedFiles(event.dataTransfer));
  });
  addEventListener("paste", (event) => {
    const files = [...event.clipboardData.files];
    // Office programs put a picture beside the text that is copied.
    const isText = event.target instanceof HTMLInputElement && event.clipboardData.types.includes("text/plain");
    if (files.length && !isText) add(files);
  });
}

/** Return what was dropped; in place of a folder, the images in it and in its folders. */
async function droppedFiles({ items, files }) {
  const dropped = [...items].filter(({ kind }) => kind === "file");
  const entries = dropped.map((item) => item.webkitGetAsEntry()); // at once: after the event they are gone
  const parts = [...files].map((file, index) => (entries[index]?.isDirectory ? imagesIn(entries[index]) : [file]));
  return (await Promise.all(parts)).flat();
}

async function imagesIn(folder) {
  const reader = folder.createReader();
  const entries = [];
  for (let more = true; more;) {
    const part = await new Promise((resolve, reject) => reader.readEntries(resolve, reject)); // a hundred at a time
    entries.push(...part);
    more = part.length > 0;
  }
  const visible = entries.filter(({ name }) => !name.startsWith(".")).sort((a, b) => (a.name < b.name ? -1 : 1));
  const parts = visible.map((entry) => (entry.isDirectory ? imagesIn(entry) : fileOf(entry)));
  return (await Promise.all(parts)).flat().filter(({ type }) => type.startsWith("image/"));
}

const fileOf = (entry) => new Promise((resolve, reject) => entry.file(resolve, reject));
