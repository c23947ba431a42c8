// What people do to the objects of an image: select, correct, paint, relabel, delete, undo.

import { segment } from "./api.js";
import {
  anyAgrees,
  bestLevel,
  inBox,
  newObject,
  partPrompt,
  promptOf,
  withBox,
  withClick,
  withMasks,
  withParts,
  withStroke,
} from "./masks/correction.js";
import { redo, undo } from "./history.js";
import { strokeCrop } from "./masks/mask_edit.js";
import { shapeOf } from "./masks/mask_shapes.js";
import { holds } from "./masks/rle.js";
import * as steps from "./state.js";

/** Return the actions. `blobOf` gives the image file of an item, `bitmap` the image that is shown. */
export function createEditing({ store, run, stop, announce, bitmap, blobOf }) {
  const { get, update } = store;
  const current = () => steps.currentItem(get());
  let lastCorrection = Promise.resolve(null); // the id of the object that it changed
  let underWay = 0;

  const select = (objectId) => update((state) => ({ ...state, selectedId: objectId, notice: null }));

  function selectNext(by) {
    const objects = steps.objectsOf(current());
    if (!objects.length) return;
    const index = objects.findIndex(({ id }) => id === get().selectedId);
    const next = objects[(index + by + objects.length) % objects.length] ?? objects[0];
    select(next.id);
    announce(`${next.label} selected, ${objects.indexOf(next) + 1} of ${objects.length}.`);
  }

  const setTool = (tool) => update((state) => ({ ...state, tool, notice: null }));

  /** Let the next click or box begin an object of its own. */
  function beginObject() {
    update((state) => ({ ...state, selectedId: null, tool: state.tool === "box" ? "box" : "add" }));
    announce(`The next click or box begins a new ${get().newLabel}.`);
  }

  function click(pointXy, off) {
    const { tool } = get();
    if (tool === "select" && !off) return select(objectAt(pointXy));
    const label = off || tool === "remove" ? 0 : 1;
    return correct((object) => withClick(object, [...pointXy.map(tenths), label]));
  }

  const box = (boxXyxy) => correct((object) => withBox(object, boxXyxy.map(tenths)));

  // What someone must see and hear, such as why a click changed nothing.
  function say(notice) {
    update((state) => ({ ...state, notice }));
    announce(notice);
  }

  // Without a label, which the service names, an object could not be saved.
  function nextObject() {
    const { newLabel } = get();
    if (newLabel !== null) return newObject(newLabel);
    say("There are no labels yet: the service has not named them");
    return null;
  }

  // The smallest of the masks that hold the point: a small thing on a large one can be reached.
  function objectAt(pointXy) {
    const under = steps.objectsOf(current()).filter(({ mask, box_xyxy: boxXyxy }) => {
      const shape = shapeOf(mask);
      return shape ? holds(shape.crop, pointXy) : boxXyxy && inBox(boxXyxy, pointXy);
    });
    return under.sort((a, b) => sizeOf(a) - sizeOf(b))[0]?.id ?? null;
  }

  // One after the other: the next correction continues from the mask that the last one brought, if it brought any.
  // Image and object are those of the click or stroke: another image may be shown by the time that the mask comes.
  function inTurn(correction) {
    const { currentId } = get();
    const selectedId = steps.selectedObject(get())?.id ?? null;
    const follows = underWay > 0;
    underWay += 1;
    const corrected = lastCorrection
      .then((lastId) => correction(currentId, selectedId ?? (follows ? lastId : null)))
      .finally(() => (underWay -= 1));
    lastCorrection = corrected.catch(() => null);
    return corrected;
  }

  const correct = (change) => inTurn((itemId, objectId) => correctNow(itemId, objectId, change));
  const itemOf = (itemId) => get().items.find(({ id }) => id === itemId);
  const objectOf = (itemId, objectId) => steps.objectsOf(itemOf(itemId)).find(({ id }) => id === objectId) ?? null;

  // A new object, or null if the object was deleted since the click.
  const startOf = (itemId, objectId) => (objectId === null ? nextObject() : objectOf(itemId, objectId));

  /** Ask for the mask of an object, or of a new one, after a change of its clicks or box. Return the object's id. */
  async function correctNow(itemId, objectId, change) {
    const item = itemOf(itemId);
    if (!item || !blobOf(item.id)) return null;
    const start = startOf(itemId, objectId);
    if (!start) return null;
    const object = change(start);
    if (!promptOf(object) && !object.mask) {
      say("Select an object first.");
      return null;
    }
    await run("segment", item.id, async (signal) => {
      const image = { blob: blobOf(item.id), sha256: item.image?.sha256 ?? null };
      const { masks, seen } = await askForMasks(object, image, signal);
      const level = bestLevel(masks, object);
      if (level >= 0) take(item.id, seen, withMasks(object, masks, level), objectId === null);
      else say(objectId ? "That seems to be no part of it. Drag to paint, or add an object" : "There is no mask here");
    });
    return object.id;
  }

  // The first request is for the whole object. If no mask of it agrees with all clicks, the last one shows a part.
  async function askForMasks(object, image, signal) {
    const prompt = promptOf(object);
    const zoom = get().fineMasks;
    const whole = prompt ? await drawnMasks(image, { ...prompt, zoom }, signal) : { masks: [] };
    if (object.clicks.length && (!prompt || (object.mask && !anyAgrees(whole.masks, object)))) {
      const parts = await drawnMasks(image, { ...partPrompt(object), zoom }, signal);
      return { masks: [...whole.masks, ...withParts(object, parts.masks)], seen: parts.image };
    }
    return { masks: whole.masks, seen: whole.image };
  }

  // An empty mask has no box, and nobody wants to see it.
  async function drawnMasks(image, prompt, signal) {
    const result = await segment(image, prompt, signal);
    return { ...result, masks: result.masks.filter(({ box_xyxy: boxXyxy }) => boxXyxy) };
  }

  /** Paint along a line, or wipe out. */
  function paint(points, radius, off) {
    const { width, height } = bitmap();
    const adds = !(off || get().tool === "remove");
    const stroke = strokeCrop(points, radius, [width, height]);
    return inTurn((itemId, objectId) => {
      const start = startOf(itemId, objectId);
      const object = start && stroke && withStroke(start, stroke, adds, [width, height]);
      if (object) take(itemId, { width, height, sha256: null }, object, objectId === null);
      return object?.id ?? objectId;
    });
  }

  function take(id, image, object, isNew) {
    if (!isNew && !objectOf(id, object.id)) return; // deleted while its mask was on its way
    update((state) => {
      const known = steps.changeItem(state, id, (item) => ({
        image: item.image ?? image,
        bundle: item.bundle ?? state.bundle,
        status: "ready",
      }));
      const changed = isNew
        ? steps.editObjects(known, id, (objects) => [...objects, object])
        : steps.replaceMask(known, id, object);
      const isShown = state.currentId === id;
      return { ...changed, selectedId: isShown ? object.id : state.selectedId, notice: null };
    });
    announce(`${object.label}: mask ${isNew ? "added" : "corrected"}.`);
  }

  /** Show the next of the masks that the last clicks may mean. */
  function nextLevel() {
    const object = steps.selectedObject(get());
    if (!object?.levels.length) return;
    const level = (object.level + 1) % object.levels.length;
    update((state) => steps.replaceMask(state, state.currentId, withMasks(object, object.levels, level)));
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
    const item = current();
    if (!item) return;
    stop("segment", item.id);
    update((state) => steps.changeItem(state, item.id, ({ history }) => ({ history: change(history) })));
  };

  return {
    select,
    selectNext,
    setTool,
    beginObject,
    click,
    box,
    paint,
    corrected: () => lastCorrection,
    nextLevel,
    remove,
    relabel,
    undo: step(undo),
    redo: step(redo),
    setNewLabel: (label) => update((state) => ({ ...state, newLabel: label })),
    toggleMasks: () => update((state) => ({ ...state, masksShown: !state.masksShown })),
  };
}

const tenths = (value) => Math.round(value * 10) / 10;
const sizeOf = ({ box_xyxy: [x0, y0, x1, y1] }) => (x1 - x0) * (y1 - y0);
