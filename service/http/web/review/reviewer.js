// Who reviews: a name that the browser keeps.

const REVIEWER = "weaksam-reviewer";

/** Return the name under which this browser reviews; the first time it is drawn at random. */
export function reviewerName() {
  if (!localStorage.getItem(REVIEWER)) nameReviewer(`reviewer-${crypto.getRandomValues(new Uint16Array(1))[0]}`);
  return localStorage.getItem(REVIEWER);
}

/** Keep the reviewer's name in this browser. */
export const nameReviewer = (name) => localStorage.setItem(REVIEWER, name);
