// The calls to the service. All addresses are relative to the page, so that any prefix of a proxy works.

const KEY_NAME = "weaksam-api-key";

/** A refusal of the service: its problem document (RFC 9457), or what the browser says of the connection. */
export class Problem extends Error {
  constructor({ title, detail, code, status, remedy, errors, request_id: requestId }) {
    super(title);
    Object.assign(this, { title, detail, code, status, remedy, fields: errors ?? [], requestId });
  }
}

/** Return the API key of this tab. It is kept in sessionStorage, so it is gone when the tab is closed. */
export const storedKey = () => sessionStorage.getItem(KEY_NAME) ?? "";

/** Keep the API key for this tab; an empty text forgets it. */
export function storeKey(key) {
  if (key) sessionStorage.setItem(KEY_NAME, key);
  else sessionStorage.removeItem(KEY_NAME);
}

/** Return the labels of the bundle and the bundle: `{labels: [{name, aliases, min_score, ...}], bundle}`. */
export const fetchLabels = () => call("labels");

/**
 * Return what `POST /detect` says of an image.
 * @param {Blob} image
 * @param {{tags: string[], minScore: number|null, explain: boolean, zoom: boolean}} wanted  a null score is the
 *   calibrated one; without zoom, the service's default counts
 * @param {AbortSignal} signal
 */
export function detect(image, { tags, minScore = null, explain = false, zoom = false }, signal) {
  const form = new FormData();
  form.append("image", image, "image");
  form.append("tags", JSON.stringify(tags));
  form.append("unknown_tags", "skip");
  if (minScore !== null) form.append("min_score", String(minScore));
  if (explain) form.append("explain", "true");
  if (zoom) form.append("zoom", "true");
  form.append("mask_format", explain ? "none" : "rle");
  return call("detect", { method: "POST", body: form, signal });
}

/**
 * Return the masks of one object. The image travels only if the service has it no longer.
 * @param {{blob: Blob, sha256: string|null}} image
 * @param {{points: [number, number, 0|1][], box: number[]|null, zoom: boolean}} prompt  in pixels of the upright image
 * @param {AbortSignal} signal
 */
export async function segment(image, prompt, signal) {
  try {
    if (image.sha256)
      return await call("segment", { method: "POST", body: segmentForm(prompt, "image_sha256", image.sha256), signal });
  } catch (error) {
    if (error.code !== "image_not_cached") throw error;
  }
  return call("segment", { method: "POST", body: segmentForm(prompt, "image", image.blob), signal });
}

function segmentForm({ points, box, zoom }, name, image) {
  const form = new FormData();
  form.append(name, image);
  form.append("points", JSON.stringify(points));
  if (box) form.append("box", JSON.stringify(box));
  if (zoom) form.append("zoom", "true");
  return form;
}

/** Return the file at a path of this service; raise `Problem` for a refusal. */
export async function fetchBlob(path) {
  const response = await send(path, {});
  if (!response.ok) throw new Problem(await problemOf(response));
  return response.blob();
}

/** Return the JSON of a path of this service, with the API key where there is one; raise `Problem` for a refusal. */
export async function call(path, options = {}) {
  const key = storedKey();
  const headers = { ...options.headers, ...(key ? { Authorization: `Bearer ${key}` } : {}) };
  const response = await send(path, { ...options, headers });
  if (!response.ok) throw new Problem(await problemOf(response));
  return response.json();
}

async function send(path, options) {
  try {
    return await fetch(path, options);
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Problem({
      title: "The service does not respond",
      detail: "The connection failed.",
      code: "no_connection",
      remedy: "Check that the service runs, then try again.",
    });
  }
}

async function problemOf(response) {
  const isProblem = response.headers.get("content-type")?.startsWith("application/problem+json");
  if (isProblem) return response.json();
  return { title: `The service responded with status ${response.status}`, status: response.status, code: "unreadable" };
}
