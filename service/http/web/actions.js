// What people do on the page: each action changes the state, and asks the service where it must.

import { detect, fetchLabels, Problem, segment } from "./api.js";
import { bestLevel, newObject, promptOf, withMasks } from "./correction.js";
import { redo, undo } from "./history.js";
import { shapeOf } from "./mask_shapes.js";
import { holds } from "./rle.js";
import * as steps from "./state.js";

/**
 * Return the actions on a store.
 * @param {import("./source.js").Source} source
 * @param {(words: string) => void} announce  says something to those who do not see the page
 */
export function createActions(store, source, announce) {
  const blobs = new Map(); // id of an item -> its image file
  let shown = { id: null, bitmap: null }; // decoded images are large, so only the shown one is kept
  const running = new Map(); // what runs for an item, so that the next run of its kind ends it

  const get = store.get;
  const update = store.update;
  const current = () => steps.currentItem(get());
  const changeItem = (id, change) => update((state) => steps.changeItem(state, id, change));

  /** Run work of one kind for an item, in place of what runs of that kind; a refusal is shown. */
  async function run(kind, id, work) {
    const name = `${kind} ${id}`;
    running.get(name)?.abort();
    const control = new AbortController();
    running.set(name, control);
    try {
      await work(control.signal);
    } catch (error) {
      if (error.name !== "AbortError") showProblem(error);
    } finally {
      if (running.get(name) === control) running.delete(name);
    }
    return !control.signal.aborted;
  }

  function showProblem(error) {
    if (!(error instanceof Problem)) console.error(error);
    const problem = error instanceof Problem ? error : new Problem({ title: "The page has a fault", detail: String(error), code: "page_fault" });
    update((state) => ({ ...state, problem }));
  }

  const dismissProblem = () => update((state) => ({ ...state, problem: null }));

  async function start() {
    await loadLabels();
    const items = await source.list();
    if (items.length) await addItems(items);
  }

  async function loadLabels() {
    try {
      const { labels, bundle } = await fetchLabels();
      update((state) => ({ ...state, labels, bundle, newLabel: state.newLabel ?? labels[0]?.name ?? null, problem: null }));
    } catch (error) {
      showProblem(error);
    }
  }

  async function addFiles(files) {
    const shown = [...files].filter(({ type }) => !type || type.startsWith("image/"));
    if (shown.length < files.length) {
      showProblem(new Problem({ title: "Only images can be labelled", detail: `${files.length - shown.length} other files were left out.`, code: "not_an_image" }));
    }
    if (!shown.length) return;
    const items = source.add(shown);
    await addItems(items);
    announce(`${items.length === 1 ? items[0].name : `${items.length} images`} added. Type what is in it.`);
  }

  async function addItems(items) {
    update((state) => steps.addItems(state, items));
    await show(get().currentId);
  }

  async function show(id) {
    update((state) => steps.showItem(state, id));
    await run("show", "image", async (signal) => {
      await load(id);
      const bitmap = await bitmapOf(blobs.get(id), current().name);
      if (signal.aborted) return bitmap.close();
      shown.bitmap?.close();
      shown = { id, bitmap };
      changeItem(id, () => ({}));
    });
    const item = current();
    if (blobs.has(id) && item.status === "new" && item.tags.length) await find(id);
  }

  /** Take the image, and what the source knows of it, once. */
  async function load(id) {
    if (blobs.has(id)) return;
    const item = get().items.find((other) => other.id === id);
    const { image, tags, result } = await source.load(item);
    blobs.set(id, image);
    changeItem(id, (now) => ({ tags: now.tags.length ? now.tags : tags, ...(result ? steps.takeResult(now, result) : {}) }));
  }

  /** Take the image anew from its source, without what was changed on the page. */
  function reload(id) {
    blobs.delete(id);
    changeItem(id, steps.newItem);
    return show(id);
  }

  const showNext = (by) => {
    const { items, currentId } = get();
    const next = items[items.findIndex(({ id }) => id === currentId) + by];
    if (next) show(next.id);
  };

  function setTags(tags, id = get().currentId) {
    changeItem(id, () => ({ tags, explanation: null }));
    return tags.length ? find(id) : changeItem(id, steps.withoutFindings);
  }

  /** Ask the service for what the tags name; without tags, for what it proposes. */
  async function find(id = get().currentId) {
    const item = get().items.find((other) => other.id === id);
    if (!item || !blobs.has(id)) return;
    changeItem(id, () => ({ status: "finding" }));
    const done = await run("find", id, async (signal) => {
      const result = await detect(blobs.get(id), item, signal);
      changeItem(id, (now) => ({ ...steps.takeResult(now, result), tags: item.tags.length ? now.tags : proposedTags(result) }));
      offerLabel(result);
      announce(foundWords(result));
    });
    if (done) changeItem(id, (now) => ({ status: now.image ? "ready" : "new" }));
    if (done && current()?.id === id && explains()) explain();
  }

  // People add what the service missed more often than anything else.
  function offerLabel({ tags }) {
    const row = tags.find(({ status }) => status === "not_found") ?? tags.find(({ label }) => label);
    if (row) update((state) => ({ ...state, newLabel: row.label }));
  }

  const proposedTags = (result) => result.tags.map((row) => row.tag);

  /** Give all images the tags of this one, and look for them in each. */
  async function useTagsEverywhere() {
    const { tags } = current();
    for (const { id } of get().items) {
      changeItem(id, () => ({ tags, explanation: null }));
      await run("load", id, () => load(id));
      await find(id);
    }
  }

  function setMinScore(minScore) {
    changeItem(get().currentId, () => ({ minScore }));
    return find();
  }

  const explains = () => {
    const { heatLabel, peaks, prompts, kept, dropped } = get().layers;
    return heatLabel !== null || peaks || prompts || kept || dropped;
  };

  /** Ask for the evidence behind the result. It stays until the tags change. */
  async function explain() {
    const item = current();
    if (!item || item.explanation || !blobs.has(item.id)) return;
    await run("explain", item.id, async (signal) => {
      const result = await detect(blobs.get(item.id), { ...item, explain: true }, signal);
      changeItem(item.id, () => ({ explanation: result.explain }));
      announce("The evidence is shown on the image.");
    });
  }

  function setLayer(name, value) {
    update((state) => ({ ...state, layers: { ...state.layers, [name]: value } }));
    if (explains()) explain();
  }

  const select = (objectId) => update((state) => ({ ...state, selectedId: objectId }));

  function selectNext(by) {
    const objects = steps.objectsOf(current());
    if (!objects.length) return;
    const index = objects.findIndex(({ id }) => id === get().selectedId);
    const next = objects[(index + by + objects.length) % objects.length] ?? objects[0];
    select(next.id);
    announce(`${next.label} selected, ${objects.indexOf(next) + 1} of ${objects.length}.`);
  }

  const setTool = (tool) => update((state) => ({ ...state, tool }));

  /** Let the next click or box begin an object of its own. */
  function beginObject() {
    update((state) => ({ ...state, selectedId: null, tool: state.tool === "box" ? "box" : "add" }));
    announce(`The next click or box begins a new ${get().newLabel}.`);
  }

  function click(pointXy, off) {
    const { tool } = get();
    if (tool === "select" && !off) return select(objectAt(pointXy));
    return correct((object) => ({ ...object, clicks: [...object.clicks, [...pointXy.map(tenths), off || tool === "remove" ? 0 : 1]] }));
  }

  const box = (boxXyxy) => correct((object) => ({ ...object, promptBox: boxXyxy.map(tenths), clicks: [] }));

  // The smallest of the masks that hold the point: a small thing on a large one can be reached.
  function objectAt(pointXy) {
    const under = steps.objectsOf(current()).filter(({ mask, box_xyxy: boxXyxy }) => {
      const shape = shapeOf(mask);
      return shape ? holds(shape.crop, pointXy) : boxXyxy && inBox(boxXyxy, pointXy);
    });
    return under.sort((a, b) => sizeOf(a) - sizeOf(b))[0]?.id ?? null;
  }

  async function correct(change) {
    const item = current();
    if (!item || !blobs.has(item.id)) return;
    const before = steps.selectedObject(get());
    const object = change(before ?? newObject(get().newLabel));
    const prompt = promptOf(object);
    if (!prompt.box && !prompt.points.some(([, , label]) => label)) {
      announce("Select an object first, or click on one.");
      return;
    }
    await run("segment", item.id, async (signal) => {
      const image = { blob: blobs.get(item.id), sha256: item.image?.sha256 ?? null };
      const { masks, image: seen } = await segment(image, prompt, signal);
      take(item.id, seen, withMasks(object, masks, bestLevel(masks, object.clicks)), before === null);
    });
  }

  function take(id, image, object, isNew) {
    update((state) => {
      const known = steps.changeItem(state, id, (item) => ({ image: item.image ?? image, bundle: item.bundle ?? state.bundle, status: "ready" }));
      const changed = isNew ? steps.editObjects(known, id, (objects) => [...objects, object]) : steps.replaceObject(known, id, object);
      return { ...changed, selectedId: object.id };
    });
    announce(`${object.label}: mask ${isNew ? "added" : "corrected"}.`);
  }

  /** Show the next of the masks that the last clicks may mean. */
  function nextLevel() {
    const object = steps.selectedObject(get());
    if (!object?.levels.length) return;
    const level = (object.level + 1) % object.levels.length;
    update((state) => steps.replaceObject(state, state.currentId, withMasks(object, object.levels, level)));
    announce(`Mask ${level + 1} of ${object.levels.length}.`);
  }

  function remove(objectId = get().selectedId) {
    const object = steps.objectsOf(current()).find(({ id }) => id === objectId);
    if (!object) return;
    update((state) => steps.deleteObject(state, state.currentId, objectId));
    announce(`${object.label} deleted. Control Z brings it back.`);
  }

  const relabel = (objectId, label) => update((state) => steps.relabelObject(state, state.currentId, objectId, label));

  const step = (change) => () => {
    if (!current()) return;
    running.get(`segment ${get().currentId}`)?.abort();
    changeItem(get().currentId, ({ history }) => ({ history: change(history) }));
  };

  return {
    start, loadLabels, dismissProblem, showProblem, addFiles, show, showNext, reload, setTags, find, useTagsEverywhere, setMinScore, setLayer,
    select, selectNext, setTool, beginObject, click, box, nextLevel, remove, relabel,
    undo: step(undo),
    redo: step(redo),
    setNewLabel: (label) => update((state) => ({ ...state, newLabel: label })),
    toggleMasks: () => update((state) => ({ ...state, masksShown: !state.masksShown })),
    markSaved: () => update((state) => ({ ...state, items: state.items.map((item) => ({ ...item, savedSteps: item.history.past.length })) })),
    bitmap: () => (shown.id === get().currentId ? shown.bitmap : null),
  };
}

async function bitmapOf(blob, name) {
  try {
    return await createImageBitmap(blob);
  } catch {
    throw new Problem({
      title: "The browser cannot show this image",
      detail: `${name} is damaged or of a format that browsers do not show, such as TIFF.`,
      code: "not_shown",
      remedy: "Convert it to JPEG or PNG. `weaksam label` reads more formats.",
    });
  }
}

const foundWords = ({ detections, tags }) => {
  const lost = tags.filter(({ status }) => status !== "found").map(({ tag }) => tag);
  return `${detections.length === 1 ? "One object" : `${detections.length} objects`} found.${lost.length ? ` Not found: ${lost.join(", ")}.` : ""}`;
};

const tenths = (value) => Math.round(value * 10) / 10;
const inBox = ([x0, y0, x1, y1], [x, y]) => x >= x0 && x < x1 && y >= y0 && y < y1;
const sizeOf = ({ box_xyxy: [x0, y0, x1, y1] }) => (x1 - x0) * (y1 - y0);
