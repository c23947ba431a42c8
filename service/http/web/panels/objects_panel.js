// The objects of the image: a legend whose rows select, relabel and delete.

import { colourOf } from "../drawing/colours.js";
import { element, replaceContent } from "../dom.js";
import { currentItem, objectsOf } from "../state.js";
import { counted } from "./words.js";

export function objectsPanel(root, state, actions) {
  const item = currentItem(state);
  root.hidden = !item;
  if (!item) return;
  const objects = objectsOf(item);
  if (!root.firstChild)
    root.replaceChildren(
      element("h2", { id: "objects-title" }),
      scoreSlider(actions),
      element("ul", { class: "object-list" }),
      element("div"),
    );
  root.querySelector("h2").textContent = counted(objects.length, "object");
  showScore(root, item);
  showRows(root.querySelector(".object-list"), objects, state, actions);
  if (state.bundle && root.lastChild.dataset.bundle !== state.bundle.digest)
    root.lastChild.replaceWith(newObjectRow(state, actions));
  const newLabel = root.querySelector("#new-label");
  if (newLabel) newLabel.value = state.newLabel;
}

// Rows stay as long as the same objects are listed: a list of labels that is open, or typed into, must not be replaced.
function showRows(list, objects, state, actions) {
  const ids = objects.map(({ id }) => id).join(" ");
  const bundle = state.bundle?.digest ?? "";
  if (list.dataset.ids !== ids || list.dataset.bundle !== bundle) {
    replaceContent(list, ...objects.map((object, index) => objectRow(object, index, state, actions)));
    Object.assign(list.dataset, { ids, bundle });
  }
  objects.forEach((object, index) => updateRow(list.children[index], object, index, state));
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
    element(
      "button",
      {
        type: "button",
        class: "small",
        "data-focus": "calibrated",
        title: "Use the thresholds that the bundle was calibrated to",
        onclick: () => actions.setMinScore(null),
      },
      "Reset",
    ),
  );
}

function showScore(root, { minScore }) {
  const slider = root.querySelector("#score");
  if (document.activeElement !== slider || minScore === null) slider.value = minScore ?? 0.5;
  root.querySelector("output").textContent = minScore === null ? "calibrated" : `at least ${minScore.toFixed(2)}`;
  root.querySelector("[data-focus=calibrated]").hidden = minScore === null;
}

function objectRow({ id, label }, index, state, actions) {
  return element(
    "li",
    { class: "object-row" },
    element(
      "button",
      {
        type: "button",
        class: "pick",
        "data-focus": `pick ${id}`,
        onclick: (event) => actions.select(event.currentTarget.ariaPressed === "true" ? null : id),
      },
      element("span", { class: "swatch" }),
      element("span", {}, String(index + 1)),
    ),
    labelSelect({
      id: `label-${id}`,
      name: `Label of object ${index + 1}`,
      value: label,
      labels: state.labels,
      onchange: (chosen) => actions.relabel(id, chosen),
    }),
    element("span", { class: "score" }),
    element(
      "button",
      { type: "button", class: "small delete", "data-focus": `delete ${id}`, onclick: () => actions.remove(id) },
      "×",
    ),
  );
}

function updateRow(row, { id, label, score, touched, source }, index, state) {
  const name = `${label}, object ${index + 1}`;
  const pick = row.querySelector(".pick");
  row.classList.toggle("selected", id === state.selectedId);
  pick.ariaPressed = String(id === state.selectedId);
  pick.ariaLabel = `Select ${name}`;
  row.querySelector(".delete").ariaLabel = `Delete ${name}`;
  row.querySelector(".swatch").style.setProperty("--colour", colourOf(label, state.labels));
  row.querySelector(".score").textContent =
    source === "person" ? "added" : `${score.toFixed(2)}${touched ? ", corrected" : ""}`;
  row.querySelector("select").value = label;
}

function labelSelect({ id, name, value, labels, onchange }) {
  const names = labels.map((label) => label.name);
  const all = names.includes(value) ? names : [value, ...names];
  const select = element(
    "select",
    { id, "data-focus": id, "aria-label": name, onchange: ({ target }) => onchange(target.value) },
    ...all.map((label) => element("option", { value: label }, label)),
  );
  select.value = value;
  return select;
}

function newObjectRow(state, actions) {
  return element(
    "div",
    { class: "row new-object", "data-bundle": state.bundle.digest },
    element("button", { type: "button", "data-focus": "new", onclick: actions.beginObject }, "Add an object"),
    labelSelect({
      id: "new-label",
      name: "Label of new objects",
      value: state.newLabel,
      labels: state.labels,
      onchange: actions.setNewLabel,
    }),
  );
}
