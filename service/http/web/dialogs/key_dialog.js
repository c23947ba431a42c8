// The API key, where the service wants one.

import { storedKey, storeKey } from "../api.js";
import { byId, element, replaceContent } from "../dom.js";

export function askForKey(whenGiven) {
  const dialog = byId("key-dialog");
  const input = element("input", {
    id: "api-key",
    type: "password",
    autocomplete: "off",
    value: storedKey(),
    "aria-describedby": "api-key-words",
  });
  const form = element(
    "form",
    { method: "dialog" },
    element("label", { for: "api-key" }, "Key"),
    input,
    element(
      "p",
      { id: "api-key-words", class: "quiet" },
      "It is kept for this tab alone, and forgotten when the tab is closed.",
    ),
    element(
      "div",
      { class: "row" },
      element("button", { class: "primary", value: "use" }, "Use this key"),
      element("button", { value: "cancel", formnovalidate: true }, "Cancel"),
    ),
  );
  form.addEventListener("submit", ({ submitter }) => {
    if (submitter?.value === "cancel") return;
    storeKey(input.value.trim());
    whenGiven();
  });
  replaceContent(dialog, element("h2", { id: "key-dialog-title" }, "API key"), form);
  dialog.showModal();
  input.focus();
}
