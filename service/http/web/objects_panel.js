// The objects of the image: a legend whose rows select, relabel and delete.

import { colourOf } from "./colours.js";
import { element, replaceContent } from "./dom.js";
import { currentItem, objectsOf } from "./state.js";

export function objectsPanel(root, state, actions) {
  const item = currentItem(state);
  root.hidden = !item;
  if (!item) return;
  const objects = objectsOf(item);
  if (!root.firstChild) root.replaceChildren(element("h2", { id: "objects-title" }), scoreSlider(actions), element("div", { class: "object-rows" }));
  root.querySelector("h2").textContent = objects.length === 1 ? "1 object" : `${objects.length} objects`;
  showScore(root, item);
  replaceContent(
    root.querySelector(".object-rows"),
    element("ul", { class: "object-list" }, ...objects.map((object, index) => objectRow(object, index, state, actions))),
    newObjectRow(state, actions),
  );
}

function scoreSlider(actions) {
  const slider = element("input", { id: "score", type: "range", min: 0, max: 1, step: 0.01, value: 0 });
  slider.addEventListener("input", () => {
    slider.parentElement.querySelector("output").textContent = `at least ${Number(slider.value).toFixed(2)}`;
  });
  slider.addEventListener("change", () => actions.setMinScore(Number(slider.value)));
  return element(
    "div",
    { class: "row score-row" },
    element("label", { for: "score" }, "Score"),
    slider,
    element("output", { for: "score" }),
    element("button", { type: "button", class: "small", "data-focus": "calibrated", title: "Use the thresholds that the bundle was calibrated to", onclick: () => actions.setMinScore(null) }, "Reset"),
  );
}

function showScore(root, { minScore }) {
  const slider = root.querySelector("#score");
  if (document.activeElement !== slider || minScore === null) slider.value = minScore ?? 0.5;
  root.querySelector("output").textContent = minScore === null ? "calibrated" : `at least ${minScore.toFixed(2)}`;
  root.querySelector("[data-focus=calibrated]").hidden = minScore === null;
}

function objectRow(object, index, state, actions) {
  const { id, label, touched, source } = object;
  const selected = id === state.selectedId;
  const name = `${label}, object ${index + 1}`;
  return element(
    "li",
    { class: `object-row${selected ? " selected" : ""}` },
    element(
      "button",
      { type: "button", class: "pick", "data-focus": `pick ${id}`, "aria-pressed": String(selected), "aria-label": `Select ${name}`, onclick: () => actions.select(selected ? null : id) },
      element("span", { class: "swatch", style: { "--colour": colourOf(label, state.labels) } }),
      element("span", { class: "number" }, String(index + 1)),
    ),
    labelSelect({ id: `label-${id}`, name: `Label of object ${index + 1}`, value: label, labels: state.labels, onchange: (chosen) => actions.relabel(id, chosen) }),
    element("span", { class: "score" }, source === "person" ? "added" : `${object.score.toFixed(2)}${touched ? ", corrected" : ""}`),
    element("button", { type: "button", class: "small", "data-focus": `delete ${id}`, "aria-label": `Delete ${name}`, onclick: () => actions.remove(id) }, "×"),
  );
}

function labelSelect({ id, name, value, labels, onchange }) {
  const names = labels.some((label) => label.name === value) ? labels.map((label) => label.name) : [value, ...labels.map((label) => label.name)];
  const select = element("select", { id, "data-focus": id, "aria-label": name, onchange: ({ target }) => onchange(target.value) }, ...names.map((label) => element("option", { value: label }, label)));
  select.value = value;
  return select;
}

function newObjectRow(state, actions) {
  if (!state.newLabel) return null;
  return element(
    "div",
    { class: "row new-object" },
    element("button", { type: "button", "data-focus": "new", onclick: actions.beginObject }, "Add an object"),
    labelSelect({ id: "new-label", name: "Label of new objects", value: state.newLabel, labels: state.labels, onchange: actions.setNewLabel }),
  );
}
