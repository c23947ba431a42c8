// The evidence behind the result, as layers on the image.

import { element, replaceContent } from "../dom.js";
import { currentItem } from "../state.js";

const LAYERS = [
  ["peaks", "Peaks", "where a map is highest; the mask decoder is asked there"],
  [
    "prompts",
    "Prompts",
    "points and boxes that the mask decoder was given: green became a proposal, yellow a duplicate, red a poor mask",
  ],
  ["kept", "Proposals kept", "boxes of masks that were scored"],
  ["dropped", "Proposals dropped", "near-duplicates, and those beyond the limit"],
];

export function explainPanel(root, state, actions) {
  const item = currentItem(state);
  root.hidden = !item || !item.image;
  if (root.hidden) return;
  const labels = [...new Set(item.ledger.map(({ label }) => label).filter(Boolean))];
  replaceContent(
    root,
    element("h2", { id: "explain-title" }, "Why?"),
    element(
      "div",
      { role: "group", "aria-label": "Heat map of the classifier", class: "row" },
      ...labels.map((label) => heatButton(label, state.layers, actions)),
    ),
    ...LAYERS.map((layer) => layerRow(layer, state, item, actions)),
    timing(item),
  );
}

function heatButton(label, { heatLabel }, actions) {
  const on = label === heatLabel;
  return element(
    "button",
    {
      type: "button",
      class: "small",
      "data-focus": `heat ${label}`,
      "aria-pressed": String(on),
      title: "Where the classifier sees it",
      onclick: () => actions.setLayer("heatLabel", on ? null : label),
    },
    `Heat map: ${label}`,
  );
}

function layerRow([name, title, words], { layers }, item, actions) {
  const count = countOf(name, item.explanation);
  return element(
    "label",
    { class: "layer" },
    element("input", {
      type: "checkbox",
      "data-focus": `layer ${name}`,
      checked: layers[name],
      onchange: ({ target }) => actions.setLayer(name, target.checked),
    }),
    element("span", {}, count === null ? title : `${title} (${count})`, element("span", { class: "quiet" }, words)),
  );
}

function countOf(name, explanation) {
  if (!explanation) return null;
  const rows = {
    peaks: explanation.tags.flatMap(({ peaks }) => peaks),
    prompts: explanation.prompts,
    kept: explanation.proposals,
    dropped: explanation.dropped,
  };
  return rows[name].length;
}

function timing({ timingMs }) {
  return timingMs.total === undefined
    ? null
    : element("p", { class: "quiet" }, `The service took ${Math.round(timingMs.total)} ms.`);
}
