// The tools over the image.

import { element, replaceContent } from "../dom.js";
import { currentItem, selectedObject } from "../state.js";

const TOOL_BUTTONS = [
  ["select", "Select", "V", "M5 3l14 8-6 1.5L10 19z"],
  ["add", "Add", "A", "M12 5v14M5 12h14"],
  ["remove", "Leave out", "R", "M5 12h14"],
  ["box", "Box", "B", "M5 6h14v12H5z"],
];

export function toolbar(root, state, { actions, stage }) {
  const item = currentItem(state);
  root.hidden = !item;
  if (!item) return;
  const { past, future } = item.history;
  const levels = selectedObject(state)?.levels.length ?? 0;
  replaceContent(
    root,
    element("div", { class: "group" }, ...TOOL_BUTTONS.map((tool) => toolButton(tool, state.tool, actions))),
    element(
      "div",
      { class: "group" },
      button("undo", "Undo", "Control Z", "M9 7L4 12l5 5M4 12h10a5 5 0 015 5", actions.undo, !past.length),
      button("redo", "Redo", "Control Shift Z", "M15 7l5 5-5 5M20 12H10a5 5 0 00-5 5", actions.redo, !future.length),
    ),
    element(
      "div",
      { class: "group" },
      button("level", "Other mask", "M", "M4 8l8-4 8 4-8 4zM4 13l8 4 8-4", actions.nextLevel, levels < 2),
      button(
        "masks",
        state.masksShown ? "Hide masks" : "Show masks",
        "X",
        "M3 12s3-6 9-6 9 6 9 6-3 6-9 6-9-6-9-6zM12 10v4",
        actions.toggleMasks,
      ),
      toggle(
        button("fine", "Fine masks", "Z", "M10 4a6 6 0 100 12 6 6 0 000-12zM14.5 14.5L20 20", actions.toggleFineMasks),
        state.fineMasks,
      ),
      button("fit", "Whole image", "F", "M4 9V4h5M20 9V4h-5M4 15v5h5M20 15v5h-5", stage.fit),
    ),
  );
}

function toolButton([tool, name, key, path], active, actions) {
  const node = button(`tool-${tool}`, name, key, path, () => actions.setTool(tool));
  node.append(element("span", {}, name));
  return toggle(node, tool === active);
}

function toggle(node, pressed) {
  node.setAttribute("aria-pressed", String(pressed));
  return node;
}

function button(focus, name, key, path, onclick, disabled = false) {
  return element(
    "button",
    { type: "button", "data-focus": focus, title: `${name} (${key})`, "aria-label": name, onclick, disabled },
    icon(path),
  );
}

function icon(path) {
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  const shape = document.createElementNS("http://www.w3.org/2000/svg", "path");
  shape.setAttribute("d", path);
  svg.setAttribute("viewBox", "0 0 24 24");
  svg.setAttribute("aria-hidden", "true");
  svg.append(shape);
  return svg;
}
