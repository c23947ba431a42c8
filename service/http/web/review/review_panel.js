// What is to be decided about the image of a review: why it is shown, three buttons, and how far the review is.

import { element, replaceContent } from "../dom.js";
import { nameReviewer, reviewerName } from "./reviewer.js";
import { addItems, changeItem, currentItem } from "../state.js";

const CONFLICT = "conflicting_decision";
const OTHERS_HAVE_THE_REST = "Other people have the images that are left. Reload the page to look again.";
const BUTTONS = [
  ["accepted", "Accept", "1", "The objects are right and complete"],
  ["corrected", "Save correction", "2", "The objects are right as you changed them"],
  ["rejected", "Reject", "3", "They are wrong and not worth correcting; the tags are kept"],
];

export function reviewPanel(root, state, page) {
  const item = currentItem(state);
  const progress = page.source.review.progress();
  root.hidden = !progress;
  if (!progress) return;
  const entry = item && page.source.review.entryOf(item.id);
  if (!root.firstChild)
    root.replaceChildren(
      element("h2", { id: "review-title" }, "Review"),
      element("div", { class: "review-rows" }),
      nameField(),
    );
  replaceContent(
    root.querySelector(".review-rows"),
    element("progress", {
      max: progress.images,
      value: progress.images - progress.open,
      "aria-label": "Reviewed images",
    }),
    element("p", { class: "quiet" }, progressWords(progress)),
    item && progress.open > 0 && state.items.every(isDecided) && element("p", {}, OTHERS_HAVE_THE_REST),
    entry && element("p", { class: "reason" }, reasonWords(entry)),
    entry &&
      element(
        "div",
        { class: "decisions" },
        ...BUTTONS.map((button) => decisionButton(button, entry, page, !!item.image)),
      ),
  );
}

const isDecided = ({ status }) => BUTTONS.some(([decision]) => decision === status);

/** Return what to say to a person who has no image: all are reviewed, or other people have those that are left. */
export const emptyWords = (progress) => ({
  title: progress.open ? "Other people have the images that are left" : "There is no image left to review",
  detail: progressWords(progress),
  again: progress.open > 0,
});

function progressWords({ images, open, accepted, corrected, rejected, sample_of: whole, likely_accepted: likely }) {
  const drawn = whole === null ? "" : " drawn at random";
  const all = `All ${images} images${drawn} are reviewed, the data set is written`;
  const begin = open ? `${images - open} of ${images}${drawn} reviewed` : all;
  const counts = `${accepted} accepted, ${corrected} corrected, ${rejected} rejected.`;
  return [`${begin}: ${counts}`, likely && likelyWords(likely, whole)].filter(Boolean).join(" ");
}

const percent = (share) => Math.round(100 * share);

const likelyWords = ([least, most], whole) =>
  `Of all ${whole} images, ${percent(least)} to ${percent(most)} % are right as they were labelled.`;

function reasonWords({ state, reviewer, review, review_reason: reason }) {
  if (state !== "open") return `${reviewer} has ${state} it.`;
  return review === null ? "" : `Doubt ${review.toFixed(2)}: ${reason}.`;
}

// Nothing is decided about an image that has not been shown yet. The button keeps the focus meanwhile.
function decisionButton([decision, name, key, words], { state }, page, isShown) {
  return element(
    "button",
    {
      type: "button",
      "data-focus": decision,
      "data-decision": decision,
      title: words,
      "aria-pressed": String(state === decision),
      "aria-disabled": String(!isShown),
      onclick: () => decideAndGoOn(page, decision),
    },
    name,
    " ",
    element("kbd", {}, key),
  );
}

function nameField() {
  const input = element("input", { id: "reviewer", value: reviewerName(), maxlength: 80, autocomplete: "off" });
  input.addEventListener("change", () => nameReviewer(input.value.trim() || reviewerName()));
  return element("div", { class: "row" }, element("label", { for: "reviewer" }, "Your name"), input);
}

let deciding = false;

/** Store a decision about the image that is shown, and show the next one. What someone changed is never lost. */
export async function decideAndGoOn(page, decision) {
  const item = currentItem(page.store.get());
  if (!item?.image || deciding) return;
  deciding = true;
  try {
    if (await isCorrected(page)) await decide(page, item.id, decision);
  } finally {
    deciding = false;
  }
}

/** Wait for the masks of the last clicks. Return false if one of them was refused: the page says why. */
async function isCorrected({ store, actions }) {
  const { problem } = store.get();
  await actions.corrected();
  return store.get().problem === problem;
}

async function decide({ store, actions, source }, id, decision) {
  const { history } = store.get().items.find((item) => item.id === id);
  const state = decision === "accepted" && history.past.length > 0 ? "corrected" : decision;
  const objects = history.present.objects.filter(({ box_xyxy: box }) => box).map(decidedObject);
  try {
    await source.review.decide(id, state, state === "corrected" ? objects : null);
    const fresh = await source.review.claim();
    const decided = () => ({ status: state, saved: history.present });
    store.update((now) => addItems(changeItem(now, id, decided), fresh));
    actions.dismissProblem();
    actions.showNext(1);
  } catch (error) {
    if (error.code === CONFLICT) await actions.reload(id);
    actions.showProblem(error);
  }
}

const decidedObject = ({ label, box_xyxy, mask, score, source, touched }) => ({
  label,
  box_xyxy,
  mask,
  score: source === "person" || touched ? null : score,
});
