// Work that asks the service: one of each kind at a time, and every refusal shown.

import { Problem } from "./api.js";

/** Return `{run, stop, showProblem}` on a store. */
export function createWork(store) {
  const running = new Map(); // what runs of each kind for each item

  /** Run work of one kind for an item, in place of what runs of that kind; a refusal is shown as one of `imageId`. */
  async function run(kind, id, work, imageId = id) {
    const name = `${kind} ${id}`;
    stop(kind, id);
    const control = new AbortController();
    running.set(name, control);
    try {
      await work(control.signal);
    } catch (error) {
      if (error.name !== "AbortError") showProblem(error, imageId);
    } finally {
      if (running.get(name) === control) running.delete(name);
    }
    return !control.signal.aborted;
  }

  function showProblem(error, imageId = null) {
    if (!(error instanceof Problem)) console.error(error);
    const problem =
      error instanceof Problem
        ? error
        : new Problem({ title: "The page has a fault", detail: String(error), code: "page_fault" });
    store.update((state) => ({ ...state, problem, problemImageId: imageId }));
  }

  const stop = (kind, id) => running.get(`${kind} ${id}`)?.abort();

  return { run, stop, showProblem };
}
