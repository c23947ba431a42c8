// Who reviews, and in which tab. A reload changes neither, and two tabs may belong to two people.

const NAME = "weaksam-reviewer";
const TAB = "weaksam-tab";

const drawn = () => crypto.getRandomValues(new Uint32Array(1))[0];

/** Return who reviews in this tab: as typed here, or as typed last in this browser; at first a name drawn at random. */
export function reviewerName() {
  const name = sessionStorage.getItem(NAME) ?? localStorage.getItem(NAME) ?? `reviewer-${drawn() % 65536}`;
  if (sessionStorage.getItem(NAME) === null) nameReviewer(name);
  return name;
}

/** Keep the reviewer's name: for this tab, and for tabs that are opened later. */
export function nameReviewer(name) {
  sessionStorage.setItem(NAME, name);
  localStorage.setItem(NAME, name);
}

/** Return what names this tab to the server, which holds images for it. */
export function tabId() {
  if (sessionStorage.getItem(TAB) === null) sessionStorage.setItem(TAB, `tab-${drawn()}-${drawn()}`);
  return sessionStorage.getItem(TAB);
}
