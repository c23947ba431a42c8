// The images as a row of names, with the state of each.

import { element, replaceContent } from "../dom.js";
import { objectsOf } from "../state.js";
import { counted } from "./words.js";

const STATES = {
  new: (item) => item.waiting,
  finding: () => "looking",
  accepted: () => "accepted",
  corrected: () => "corrected",
  rejected: () => "rejected",
  ready: (item) => counted(objectsOf(item).length, "object"),
};

export function imagesStrip(root, { items, currentId }, actions) {
  root.hidden = items.length < 2;
  if (root.hidden) return;
  replaceContent(root, ...items.map((item, index) => entry(item, index, item.id === currentId, actions)));
  root.querySelector('[aria-current="true"]')?.scrollIntoView({ block: "nearest", inline: "nearest" });
}

function entry(item, index, current, actions) {
  return element(
    "button",
    {
      type: "button",
      class: `image-entry ${item.status}`,
      "data-focus": item.id,
      title: item.name,
      "aria-current": current ? "true" : null,
      onclick: () => actions.show(item.id),
    },
    element("span", { class: "image-name" }, `${index + 1}. ${item.name}`),
    element("span", { class: "quiet" }, STATES[item.status](item)),
  );
}
