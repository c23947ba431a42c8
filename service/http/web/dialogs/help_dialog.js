// The list of keys.

import { byId, element, replaceContent } from "../dom.js";

export function showHelp(keys) {
  const dialog = byId("help-dialog");
  replaceContent(
    dialog,
    element("h2", { id: "help-dialog-title" }, "Keys"),
    element(
      "dl",
      { class: "keys" },
      ...keys.map(({ shown, words }) =>
        element("div", {}, element("dt", {}, ...shown.map((key) => element("kbd", {}, key))), element("dd", {}, words)),
      ),
    ),
    element("p", { class: "quiet" }, "On a phone: two fingers move and enlarge the image."),
    element("form", { method: "dialog" }, element("button", { class: "primary" }, "Close")),
  );
  dialog.showModal();
  dialog.scrollTop = 0; // the focus on the button scrolled to the end
}
