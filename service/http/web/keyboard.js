// Everything by keyboard. Single letters work wherever no text is typed.

import { byId } from "./dom.js";
import { currentItem, objectsOf, selectedObject } from "./state.js";

/** The keys in the order in which the help shows them: `press` is compared, `run` is done. */
const KEYS = [
  { press: "t", shown: ["T"], words: "type tags", run: () => byId("tag-input")?.focus() },
  { press: "v", shown: ["V"], words: "tool: select", run: ({ actions }) => actions.setTool("select") },
  { press: "a", shown: ["A"], words: "tool: add to the mask", run: ({ actions }) => actions.setTool("add") },
  { press: "r", shown: ["R"], words: "tool: leave out of the mask", run: ({ actions }) => actions.setTool("remove") },
  { press: "b", shown: ["B"], words: "tool: box", run: ({ actions }) => actions.setTool("box") },
  {
    press: "n",
    shown: ["N"],
    words: "add an object: the next click or box begins it",
    run: ({ actions }) => actions.beginObject(),
  },
  {
    press: "c",
    shown: ["C"],
    words: "go to the image: arrows move a cross, Enter clicks",
    run: () => byId("canvas").focus(),
  },
  { press: "j", shown: ["J"], words: "next object", run: ({ actions }) => actions.selectNext(1) },
  { press: "k", shown: ["K"], words: "previous object", run: ({ actions }) => actions.selectNext(-1) },
  { press: "l", shown: ["L"], words: "relabel the selected object", run: focusLabel },
  { press: "m", shown: ["M"], words: "other mask for the same clicks", run: ({ actions }) => actions.nextLevel() },
  { press: "delete", shown: ["Delete"], words: "delete the selected object", run: ({ actions }) => actions.remove() },
  { press: "backspace", shown: ["Backspace"], words: "the same", run: ({ actions }) => actions.remove() },
  { press: "escape", shown: ["Esc"], words: "select nothing", run: ({ actions }) => actions.select(null) },
  { press: "ctrl+z", shown: ["Ctrl", "Z"], words: "undo", run: ({ actions }) => actions.undo() },
  { press: "ctrl+shift+z", shown: ["Ctrl", "Shift", "Z"], words: "redo", run: ({ actions }) => actions.redo() },
  { press: "x", shown: ["X"], words: "hide or show the masks", run: ({ actions }) => actions.toggleMasks() },
  {
    press: "z",
    shown: ["Z"],
    words: "fine masks on or off: small objects are looked at again, enlarged",
    run: ({ actions }) => actions.toggleFineMasks(),
  },
  { press: "h", shown: ["H"], words: "heat map of the next tag", run: nextHeatMap },
  { press: "f", shown: ["F"], words: "show the whole image", run: ({ stage }) => stage.fit() },
  { press: "e", shown: ["E"], words: "enlarge the selected object, or all objects", run: enlargeObjects },
  { press: "+", shown: ["+"], words: "enlarge", run: ({ stage }) => stage.zoom(1.4) },
  { press: "-", shown: ["-"], words: "reduce", run: ({ stage }) => stage.zoom(1 / 1.4) },
  { press: "]", shown: ["]"], words: "next image", run: ({ actions }) => actions.showNext(1) },
  { press: "[", shown: ["["], words: "previous image", run: ({ actions }) => actions.showNext(-1) },
  {
    press: "o",
    shown: ["O"],
    words: "choose images",
    ofFiles: true,
    run: ({ dialogs }) => dialogs.choose(),
  },
  { press: "s", shown: ["S"], words: "save the labels", ofFiles: true, run: ({ dialogs }) => dialogs.save() },
  { press: "?", shown: ["?"], words: "this list", run: ({ dialogs }) => dialogs.help() },
];

/** Return the keys that do something with images of this source. */
export const keysOf = (source) => [...KEYS.filter(({ ofFiles }) => source.takesFiles || !ofFiles), ...source.keys];

/** Run the action of a key on `page`: `{store, actions, stage, source, dialogs}`. */
export function listenToKeys(page) {
  addEventListener("keydown", (event) => {
    if (event.defaultPrevented || document.querySelector("dialog[open]")) return;
    const pressed = nameOf(event);
    if (isTyping(event.target)) return pressed === "escape" ? event.target.blur() : undefined;
    const key = keysOf(page.source).find(({ press }) => press === pressed);
    if (!key) return;
    event.preventDefault();
    key.run(page);
  });
}

function nameOf({ key, ctrlKey, metaKey, altKey, shiftKey }) {
  if (altKey) return null;
  if (!ctrlKey && !metaKey) return key.toLowerCase();
  return `ctrl+${shiftKey ? "shift+" : ""}${key.toLowerCase()}`;
}

const isTyping = ({ tagName, type }) =>
  tagName === "SELECT" || (tagName === "INPUT" && !["checkbox", "range"].includes(type));

function focusLabel({ store }) {
  const { selectedId } = store.get();
  if (selectedId) byId(`label-${selectedId}`)?.focus();
}

function enlargeObjects({ store, stage }) {
  const state = store.get();
  const selected = selectedObject(state);
  const boxes = (selected ? [selected] : objectsOf(currentItem(state))).map((object) => object.box_xyxy);
  if (!boxes.length) return;
  const ends = [Math.min, Math.min, Math.max, Math.max];
  stage.enlarge(ends.map((end, side) => end(...boxes.map((box) => box[side]))));
}

function nextHeatMap({ store, actions }) {
  const state = store.get();
  const labels = [...new Set((currentItem(state)?.ledger ?? []).map(({ label }) => label).filter(Boolean))];
  actions.setLayer("heatLabel", labels[labels.indexOf(state.layers.heatLabel) + 1] ?? null);
}
