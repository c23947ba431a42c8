// Images of a labelling run under review: the most doubtful first, each held for the one tab that shows it.

import { call, fetchBlob } from "../api.js";
import { decideAndGoOn, emptyWords, reviewPanel } from "./review_panel.js";
import { reviewerName, tabId } from "./reviewer.js";

const CLAIMED = 10;

/**
 * The images of `weaksam review`.
 * @returns {import("../source.js").Source & {review: object}}
 */
export function reviewSource() {
  const entries = new Map(); // id of an item -> its entry in the queue
  let progress = null;

  async function claim() {
    const claimed = await send("review/claims", "POST", { reviewer: tabId(), count: CLAIMED });
    progress = await call("review");
    const fresh = claimed.filter(({ id }) => !entries.has(String(id)));
    for (const entry of claimed) entries.set(String(entry.id), entry);
    return fresh.map((entry) => ({ id: String(entry.id), name: entry.file_name, waiting: "to review" }));
  }

  async function load({ id }) {
    const [image, blob] = await Promise.all([call(`review/images/${id}`), fetchBlob(`review/images/${id}/file`)]);
    entries.set(id, image);
    return { image: blob, tags: image.tags, result: resultOf(image) };
  }

  /** Store a decision; `objects` are all of the image's if it was corrected, else null. */
  async function decide(id, state, objects) {
    const decision = { reviewer: reviewerName(), version: entries.get(id).version, state, objects };
    entries.set(id, await send(`review/images/${id}`, "PUT", decision));
  }

  addEventListener("pagehide", giveBack);
  return {
    takesFiles: false,
    takesKey: false,
    list: claim,
    load,
    review: { claim, decide, entryOf: (id) => entries.get(id), progress: () => progress },
    panel: reviewPanel,
    emptyWords: () => progress && emptyWords(progress),
    keys: [
      {
        press: "1",
        shown: ["1"],
        words: "review: accept what is shown",
        run: (page) => decideAndGoOn(page, "accepted"),
      },
      { press: "2", shown: ["2"], words: "review: save as corrected", run: (page) => decideAndGoOn(page, "corrected") },
      {
        press: "3",
        shown: ["3"],
        words: "review: reject, keep the tags alone",
        run: (page) => decideAndGoOn(page, "rejected"),
      },
    ],
  };
}

/** Let others have the images that this tab holds. A reload takes them again. */
function giveBack() {
  const body = JSON.stringify({ reviewer: tabId(), count: 0 });
  navigator.sendBeacon("review/claims", new Blob([body], { type: "application/json" }));
}

const send = (path, method, body) =>
  call(path, { method, body: JSON.stringify(body), headers: { "Content-Type": "application/json" } });

// In the form of a response of `POST /detect`, so that the page shows it like one.
const resultOf = ({ id, width, height, sha256, tags, objects }) => ({
  image: { width, height, sha256 },
  detections: objects.map(({ label, box_xyxy, score, mask }, index) => ({
    id: `${id}-${index}`,
    label,
    box_xyxy,
    mask,
    mask_score: null,
    score: score ?? 1,
    source: score === null ? "person" : "detector",
  })),
  tags: tags.map((tag) => tagRow(tag, objects)),
  timing_ms: {},
  bundle: null,
});

function tagRow(tag, objects) {
  const scores = objects.filter(({ label }) => label === tag).map(({ score }) => score);
  const best = scores.includes(null) || !scores.length ? null : Math.max(...scores);
  return {
    tag,
    label: tag,
    status: scores.length ? "found" : "not_found",
    predicted: false,
    count: scores.length,
    stage: null,
    best_score: best,
    nearest: [],
  };
}
