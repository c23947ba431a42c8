// A refusal of the service in its own words.

import { element, replaceContent } from "../dom.js";

let shown = null;

export function problemBanner(root, { problem, problemImageId, items }, actions, dialogs) {
  if (problem === shown) return;
  shown = problem;
  const image = items.find(({ id }) => id === problemImageId);
  replaceContent(root, problem && banner(problem, image ? `${image.name}: ` : "", actions, dialogs));
}

function banner(problem, about, actions, dialogs) {
  const needsKey = problem.code === "unauthorized" || problem.code === "forbidden";
  return element(
    "div",
    { class: "problem", "data-code": problem.code },
    element("div", {}, element("strong", {}, about, problem.message), element("p", {}, problem.detail ?? "")),
    problem.fields.length > 0 &&
      element("ul", {}, ...problem.fields.map(({ field, message }) => element("li", {}, `${field}: ${message}`))),
    problem.remedy && element("p", {}, problem.remedy),
    problem.requestId && element("p", { class: "quiet" }, `Request ${problem.requestId}`),
    element(
      "div",
      { class: "row" },
      needsKey && element("button", { type: "button", class: "primary", onclick: dialogs.key }, "Enter an API key"),
      element("button", { type: "button", onclick: actions.dismissProblem }, "Close"),
    ),
  );
}
