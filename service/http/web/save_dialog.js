// How the labels are saved.

import { byId, element, replaceContent } from "./dom.js";
import { labelledSet } from "./labelled.js";
import { saveCoco } from "./save_coco.js";
import { savePng } from "./save_png.js";
import { saveYolo } from "./save_yolo.js";
import { currentItem, resultOf } from "./state.js";

const FORMATS = [
  ["coco", "COCO", "one JSON with the masks as run lengths, nothing is lost", saveCoco],
  ["yolo", "YOLO", "a ZIP of text files with one outline for each object", saveYolo],
  ["png", "PNG", "a ZIP with one mask image for each object, and a table", savePng],
];

/** Save what is finished: as a file that the person chooses, or to the source if it takes results. */
export async function askHowToSave({ store, actions, source }) {
  if (source.submit) {
    const item = currentItem(store.get());
    await source.submit({ id: item.id, name: item.name }, resultOf(item));
    actions.markSaved();
    return;
  }
  const labelled = labelledSet(store.get());
  if (!labelled.images.length) return;
  const dialog = byId("save-dialog");
  const count = labelled.images.reduce((sum, { objects }) => sum + objects.length, 0);
  replaceContent(
    dialog,
    element("h2", { id: "save-dialog-title" }, "Save labels"),
    element("p", {}, `${numbered(count, "object")} in ${numbered(labelled.images.length, "image")}. The images themselves are not saved.`),
    ...FORMATS.map(([id, title, words, save]) =>
      element(
        "button",
        { type: "button", class: "choice", "data-format": id, onclick: () => saveAs(save, labelled, dialog, actions) },
        element("strong", {}, title),
        element("span", {}, words),
      ),
    ),
    element("form", { method: "dialog" }, element("button", {}, "Cancel")),
  );
  dialog.showModal();
}

async function saveAs(save, labelled, dialog, actions) {
  try {
    download(await save(labelled));
    actions.markSaved();
  } catch (error) {
    actions.showProblem(error);
  }
  dialog.close();
}

function download({ name, blob }) {
  const address = URL.createObjectURL(blob);
  element("a", { href: address, download: name }).click();
  setTimeout(() => URL.revokeObjectURL(address), 60_000);
}

const numbered = (count, noun) => `${count} ${noun}${count === 1 ? "" : "s"}`;
