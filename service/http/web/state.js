// The whole state of the page as plain data, and the steps between two states as pure functions.
//
// An item is one image. Its `history` holds what people can undo: `{objects, deletedIds, relabels}`; `relabels` is the
// id of the object that the last step gave another label. `saved` is what of the history was saved last.
//
// An object is a detection of `POST /detect` with what a person did to it: `touched`, `painted`, `clicks`
// ([x, y, label] in pixels of the image), `anchor` (a point of its mask before the clicks), `promptBox` (xyxy in the
// same pixels), and `levels`, the masks that the last clicks may mean, of which `level` is shown.

import { record, startHistory } from "./history.js";

/** What an object holds of clicks and boxes before there are any. */
export const NO_PROMPT = { clicks: [], anchor: null, promptBox: null, levels: [], level: 0 };

export const startState = () => ({
  items: [],
  currentId: null,
  selectedId: null,
  tool: "select",
  newLabel: null,
  masksShown: true,
  fineMasks: false,
  layers: { heatLabel: null, peaks: false, prompts: false, kept: false, dropped: false },
  labels: [],
  bundle: null,
  problem: null,
  problemImageId: null, // of the image that the problem is about, if it is about one
  notice: null,
  needsKey: false,
});

export const newItem = ({ id, name, waiting = "not labelled" }) => ({
  id,
  name,
  waiting,
  status: "new",
  image: null,
  tags: [],
  minScore: null,
  ledger: [],
  bundle: null,
  timingMs: {},
  warnings: [],
  explanation: null,
  history: startHistory({ objects: [], deletedIds: [], relabels: null }),
  saved: null,
});

/** Return a store of the state: `get`, `update(change)` and `subscribe(listener)`. */
export function createStore(state) {
  const listeners = [];
  return {
    get: () => state,
    update(change) {
      state = change(state);
      for (const listener of listeners) listener(state);
    },
    subscribe: (listener) => listeners.push(listener),
  };
}

/** Return whether a person changed the item since it was saved. */
export const isUnsaved = ({ history, saved }) => history.past.length > 0 && history.present !== saved;

export const currentItem = (state) => state.items.find((item) => item.id === state.currentId) ?? null;
export const objectsOf = (item) => item?.history.present.objects ?? [];
export const selectedObject = (state) =>
  objectsOf(currentItem(state)).find(({ id }) => id === state.selectedId) ?? null;

/** Return the state with one item changed. */
export const changeItem = (state, id, change) => ({
  ...state,
  items: state.items.map((item) => (item.id === id ? { ...item, ...change(item) } : item)),
});

/** Return the state with new images at the end; the first of them is shown if none was. */
export const addItems = (state, items) => ({
  ...state,
  items: [...state.items, ...items.map(newItem)],
  currentId: state.currentId ?? items[0]?.id ?? null,
});

/** Return the state with another image shown. A problem with the image that is left goes with it. */
export function showItem(state, id) {
  const { currentId, problem, problemImageId } = state;
  const left = currentId !== null && problemImageId === currentId && id !== currentId;
  return { ...state, currentId: id, selectedId: null, problem: left ? null : problem };
}

// The history after a step that is no relabelling.
const recordChange = (history, change) => record(history, { ...history.present, ...change, relabels: null });

/** Return the state with the item's objects edited by a function of them: one step that can be undone. */
export const editObjects = (state, id, edit) =>
  changeItem(state, id, ({ history }) => ({
    history: recordChange(history, { objects: edit(history.present.objects) }),
  }));

/** Return the state with another mask of an object. Its label may have changed since the mask was asked for. */
export const replaceMask = (state, id, object) =>
  editObjects(state, id, (objects) =>
    objects.map((other) => (other.id === object.id ? { ...object, label: other.label } : other)),
  );

/** Return the state without the object. The service's finding of it does not come back, either. */
export function deleteObject(state, id, objectId) {
  const deleted = changeItem(state, id, ({ history }) => ({
    history: recordChange(history, {
      objects: history.present.objects.filter((object) => object.id !== objectId),
      deletedIds: [...history.present.deletedIds, objectId],
    }),
  }));
  return { ...deleted, selectedId: state.selectedId === objectId ? null : state.selectedId };
}

/** Return the state with another label for the object. Labels passed by on the way to it are not steps of their own. */
export function relabelObject(state, id, objectId, label) {
  const relabelled = (objects) =>
    objects.map((object) => (object.id === objectId ? { ...object, label, touched: true } : object));
  return changeItem(state, id, ({ history }) => {
    const next = { ...history.present, objects: relabelled(history.present.objects), relabels: objectId };
    return {
      history:
        history.present.relabels === objectId ? { ...history, present: next, future: [] } : record(history, next),
    };
  });
}

/** Return the item's changes after `POST /detect`. What people touched or deleted stays as they left it. */
export function takeResult({ history }, result) {
  const { objects, deletedIds } = history.present;
  const touched = objects.filter((object) => object.touched);
  const settled = new Set([...deletedIds, ...touched.map(({ id }) => id)]);
  const found = result.detections.filter(({ id }) => !settled.has(id)).map(objectOfDetection);
  const next = { deletedIds, objects: [...touched, ...found], relabels: null };
  return {
    status: "ready",
    image: result.image,
    ledger: result.tags,
    bundle: result.bundle,
    timingMs: result.timing_ms,
    warnings: result.warnings ?? [],
    history: history.past.length || objects.length ? record(history, next) : startHistory(next),
  };
}

/** Return the item's changes once nothing is sought any more: what people touched stays. */
export const withoutFindings = ({ history, image }) => ({
  status: image ? "ready" : "new",
  ledger: [],
  history: recordChange(history, { objects: history.present.objects.filter(({ touched }) => touched) }),
});

// As the service compares tags: without regard to case, spaces, - and _.
const folded = (tag) => tag.normalize("NFC").replace(/[\s_-]+/g, "").toLowerCase();

/** Return the tags, of several spellings of one tag the first: the service has one row for all of them. */
export const differentTags = (tags) =>
  tags.filter((tag, index) => tags.findIndex((other) => folded(other) === folded(tag)) === index);

const objectOfDetection = (detection) => ({ ...detection, ...NO_PROMPT, touched: false, painted: false });
