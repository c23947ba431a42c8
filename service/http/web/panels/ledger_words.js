// The rows of the tag ledger in plain words.

import { counted } from "./words.js";

/**
 * Return what became of a tag.
 * @param {object} row  of `tags` of a response of `POST /detect`
 * @returns {{title: string, words: string, tone: "found"|"lost"|"unknown", suggestions: string[]}}
 */
export function rowWords(row) {
  const title = row.label ?? row.tag;
  return {
    title,
    words: `${WORDS[row.status](row, lowerFirst(title))}`,
    tone: TONES[row.status],
    suggestions: row.nearest,
  };
}

const TONES = { found: "found", not_found: "lost", unknown: "unknown" };

const WORDS = {
  found: ({ count, best_score: best, predicted }) =>
    [predicted ? "proposed and " : "", "found: ", counted(count, "object"), scored(", best score ", best)].join(""),
  not_found: (row, name) => (row.stage ? `not found: ${LOST[row.stage](row, name)}` : "not found"),
  unknown: ({ nearest }) => (nearest.length ? "no such label. Did you mean one of these?" : "no such label"),
};

const LOST = {
  classifier: (_, name) => `the classifier sees no ${name}`,
  proposals: (_, name) => `the classifier sees a ${name}, but no outline covers the place`,
  score: ({ best_score: best }) =>
    `the best candidate${scored(" scores ", best)}, which is too low. Lower the score to see it`,
  limit: () => "better objects of other tags fill the limit",
};

const scored = (before, score) => (score === null ? "" : `${before}${score.toFixed(2)}`);

// "FuelCap" is read as "fuel cap"; a name in capitals, such as "USB", stays.
const lowerFirst = (name) =>
  name
    .replace(/([a-z])([A-Z])/g, "$1 $2")
    .replace(/[_-]+/g, " ")
    .split(" ")
    .map((word) => (/^[A-Z]+$/.test(word) ? word : word.toLowerCase()))
    .join(" ");
