// How the labels are saved.

import { byId, element, replaceContent } from "../dom.js";
import { labelledSet } from "../save/labelled.js";
import { saveCoco } from "../save/save_coco.js";
import { savePng } from "../save/save_png.js";
import { saveYolo } from "../save/save_yolo.js";
import { counted } from "../panels/words.js";

const FORMATS = [
  ["coco", "COCO", "one JSON with the masks as run lengths, nothing is lost", saveCoco],
  ["yolo", "YOLO", "a ZIP of text files with one outline for each object", saveYolo],
  ["png", "PNG", "a ZIP with one mask image for each object, and a table", savePng],
];

/** Save what is finished: as files of the format that the person chooses. */
export async function askHowToSave({ store, actions }) {
  await actions.corrected();
  const state = store.get();
  const labelled = labelledSet(state);
  if (!labelled.images.length) return;
  const dialog = byId("save-dialog");
  const count = labelled.images.reduce((sum, { objects }) => sum + objects.length, 0);
  replaceContent(
    dialog,
    element("h2", { id: "save-dialog-title" }, "Save labels"),
    element(
      "p",
      {},
      `${counted(count, "object")} in ${counted(labelled.images.length, "image")}. The images are not copied.`,
    ),
    ...FORMATS.map(([id, title, words, save]) =>
      element(
        "button",
        {
          type: "button",
          class: "choice",
          "data-format": id,
          onclick: () => saveAs(save, labelled, dialog, actions, state.items),
        },
        element("strong", {}, title),
        element("span", {}, words),
      ),
    ),
    element("form", { method: "dialog" }, element("button", {}, "Cancel")),
  );
  dialog.showModal();
}

async function saveAs(save, labelled, dialog, actions, items) {
  try {
    download(await save(labelled));
    actions.markSaved(items);
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
