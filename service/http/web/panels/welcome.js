// What stands in place of an image, and the next step in a few words.

import { element, replaceContent } from "../dom.js";
import { currentItem, objectsOf } from "../state.js";

const START = {
  title: "Name what is in your images. Get boxes and masks.",
  detail: "Drop images here, paste one, or choose them. They go to this service and nowhere else.",
};

let shown;

export function welcome(root, state, { source }, dialogs) {
  const words = state.items.length ? null : source.takesFiles ? START : source.emptyWords();
  const title = words?.title ?? null;
  if (title === shown) return;
  shown = title;
  root.hidden = !words;
  root.classList.toggle("takes-files", source.takesFiles);
  replaceContent(
    root,
    words && [element("h2", {}, words.title), element("p", {}, words.detail)],
    words && (source.takesFiles ? firstSteps(dialogs) : words.again && lookAgain()),
  );
}

const firstSteps = (dialogs) => [
  element("button", { type: "button", class: "primary large", onclick: dialogs.choose }, "Choose images"),
  element(
    "ol",
    { class: "steps" },
    element("li", {}, "Add images."),
    element("li", {}, "Type the names of the things in them."),
    element("li", {}, "Correct masks with a click."),
    element("li", {}, "Save as COCO, YOLO or PNG."),
  ),
];

const lookAgain = () =>
  element("button", { type: "button", class: "primary large", onclick: () => location.reload() }, "Look again");

/** Return what a person can do next, in a line over the image. */
export function hintWords(state) {
  const item = currentItem(state);
  if (!item) return "";
  if (state.notice) return state.notice;
  if (item.status === "finding") return "Looking …";
  if (!item.tags.length && !objectsOf(item).length) return "Type what is in the image";
  if (state.tool === "select" && !objectsOf(item).length) return "There is no object. Add or Box draws one";
  return HINTS[state.tool](state.selectedId !== null, state.newLabel);
}

const HINTS = {
  select: (selected) => (selected ? "" : "Click an object to select it"),
  add: (selected, label) =>
    selected
      ? "Click what the mask misses, or drag to paint it. Alt leaves out"
      : `Click an object to add it as ${label}`,
  remove: (selected) => (selected ? "Click what the mask should leave out, or drag over it" : "Select an object first"),
  box: (selected, label) =>
    selected ? "Drag a box around the selected object" : `Drag a box around an object to add it as ${label}`,
};
