// What people do on the page: each action changes the state, and asks the service where it must.

import { detect, fetchLabels, Problem } from "./api.js";
import { createEditing } from "./editing.js";
import * as steps from "./state.js";
import { counted } from "./panels/words.js";
import { createWork } from "./work.js";

/**
 * Return the actions on a store.
 * @param {import("./source.js").Source} source
 * @param {(words: string) => void} announce  says something to those who do not see the page
 */
export function createActions(store, source, announce) {
  const blobs = new Map(); // id of an item -> its image file
  let shown = { id: null, bitmap: null }; // decoded images are large, so only the shown one is kept
  const get = store.get;
  const update = store.update;
  const current = () => steps.currentItem(get());
  const { run, stop, showProblem } = createWork(store);
  const changeItem = (id, change) => update((state) => steps.changeItem(state, id, change));

  const dismissProblem = () => update((state) => ({ ...state, problem: null }));

  async function start() {
    await loadLabels();
    const items = await source.list();
    if (items.length) await addItems(items);
    else update((state) => ({ ...state })); // the source may know by now why there is none
  }

  async function loadLabels() {
    try {
      const { labels, bundle } = await fetchLabels();
      update((state) => ({
        ...state,
        labels,
        bundle,
        newLabel: labels.some(({ name }) => name === state.newLabel) ? state.newLabel : (labels[0]?.name ?? null),
        problem: null,
      }));
    } catch (error) {
      if (error.code === "unauthorized") update((state) => ({ ...state, needsKey: true }));
      showProblem(error);
    }
  }

  async function addFiles(files) {
    const images = [...files].filter(({ type }) => !type || type.startsWith("image/"));
    if (images.length < files.length) {
      showProblem(
        new Problem({
          title: "Only images can be labelled",
          detail: `${files.length - images.length} other files were left out.`,
          code: "not_an_image",
        }),
      );
    }
    if (!files.length) {
      const detail = "The folder holds none, nor do its folders.";
      showProblem(new Problem({ title: "There is no image", detail, code: "no_image" }));
    }
    if (!images.length) return;
    const items = source.add(images);
    await addItems(items);
    announce(`${items.length === 1 ? items[0].name : counted(items.length, "image")} added. Type what is in it.`);
  }

  async function addItems(items) {
    update((state) => steps.addItems(state, items));
    await show(items[0].id);
  }

  async function show(id) {
    update((state) => steps.showItem(state, id));
    const draw = async (signal) => {
      await load(id);
      const bitmap = await bitmapOf(blobs.get(id));
      if (signal.aborted) return bitmap.close();
      shown.bitmap?.close();
      shown = { id, bitmap };
      changeItem(id, () => ({}));
    };
    await run("show", "image", draw, id);
    const item = current();
    if (blobs.has(id) && item.status === "new" && item.tags.length) await find(id);
  }

  /** Take the image, and what the source knows of it, once. */
  async function load(id) {
    if (blobs.has(id)) return;
    const item = get().items.find((other) => other.id === id);
    const { image, tags, result } = await source.load(item);
    blobs.set(id, image);
    changeItem(id, (now) => ({
      tags: now.tags.length ? now.tags : tags,
      ...(result ? steps.takeResult(now, result) : {}),
    }));
    if (result) offerLabel(result);
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
    stop("explain", id);
    changeItem(id, () => ({ tags: steps.differentTags(tags), explanation: null }));
    if (tags.length) return find(id);
    stop("find", id);
    changeItem(id, steps.withoutFindings);
  }

  /** Ask the service for what the tags name; without tags, for what it proposes. */
  async function find(id = get().currentId) {
    const item = get().items.find((other) => other.id === id);
    if (!item || !blobs.has(id)) return;
    changeItem(id, () => ({ status: "finding" }));
    const done = await run("find", id, async (signal) => {
      const result = await detect(blobs.get(id), { ...item, zoom: get().fineMasks }, signal);
      changeItem(id, (now) => ({
        ...steps.takeResult(now, result),
        tags: item.tags.length ? now.tags : proposedTags(result),
      }));
      offerLabel(result);
      announce(foundWords(result));
    });
    if (done) changeItem(id, (now) => ({ status: now.image ? "ready" : "new" }));
    if (done && current()?.id === id && explains()) explain();
    await followBundle(id);
  }

  /** Take the labels anew if another bundle has taken over. */
  async function followBundle(id) {
    const { bundle } = get().items.find((item) => item.id === id);
    if (bundle && get().bundle && bundle.digest !== get().bundle.digest) await loadLabels();
  }

  // People add what the service missed more often than anything else.
  function offerLabel({ tags }) {
    const known = tags.filter((row) => get().labels.some(({ name }) => name === row.label));
    const row = known.find(({ status }) => status === "not_found") ?? known[0];
    if (row) update((state) => ({ ...state, newLabel: row.label }));
  }

  const proposedTags = (result) => result.tags.map((row) => row.tag);

  /** Give all images the tags of this one, and look for them in each. */
  async function useTagsEverywhere() {
    const { tags } = current();
    for (const { id } of get().items) {
      await run("load", id, () => load(id));
      await setTags(tags, id);
    }
  }

  function setMinScore(minScore) {
    changeItem(get().currentId, () => ({ minScore }));
    return find();
  }

  /** Turn the second, closer look on or off. What was found is looked for again; a review keeps what it shows. */
  function toggleFineMasks() {
    update((state) => ({ ...state, fineMasks: !state.fineMasks }));
    announce(get().fineMasks ? "Fine masks on." : "Fine masks off.");
    if (source.takesFiles && current()?.status === "ready") find();
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

  /** Note that these items are saved as they were. What was done to them since is not. */
  const markSaved = (items) => items.forEach(({ id, history }) => changeItem(id, () => ({ saved: history.present })));

  const bitmap = () => (shown.id === get().currentId ? shown.bitmap : null);

  return {
    ...createEditing({ store, run, stop, announce, bitmap, blobOf: (id) => blobs.get(id) }),
    start,
    loadLabels,
    dismissProblem,
    showProblem,
    addFiles,
    show,
    showNext,
    reload,
    setTags,
    find,
    setMinScore,
    toggleFineMasks,
    setLayer,
    bitmap,
    markSaved,
    // Images that people bring are often alike; those of another source have tags of their own.
    useTagsEverywhere: source.takesFiles ? useTagsEverywhere : null,
  };
}

async function bitmapOf(blob) {
  try {
    return await createImageBitmap(blob);
  } catch {
    throw new Problem({
      title: "The browser cannot show this image",
      detail: "It is damaged or of a format that browsers do not show, such as TIFF.",
      code: "not_shown",
      remedy: "Convert it to JPEG or PNG. `weaksam label` reads more formats.",
    });
  }
}

const foundWords = ({ detections, tags }) => {
  const lost = tags.filter(({ status }) => status !== "found").map(({ tag }) => tag);
  return `${counted(detections.length, "object")} found.${lost.length ? ` Not found: ${lost.join(", ")}.` : ""}`;
};
