// The tags of the image, and what became of each in words.

import { element, replaceContent } from "../dom.js";
import { rowWords } from "./ledger_words.js";
import { currentItem } from "../state.js";

export function tagsPanel(root, state, actions) {
  const item = currentItem(state);
  root.hidden = !item;
  if (!item) return;
  const input = root.querySelector("#tag-input") ?? tagInput();
  input.taken = (texts) => actions.setTags(joined(item.tags, texts));
  input.dropLast = () => item.tags.length && actions.setTags(item.tags.slice(0, -1));
  if (!root.contains(input))
    root.replaceChildren(
      element("h2", { id: "tags-title" }, "What is in the image?"),
      tagForm(input),
      element("div", { class: "tag-rows" }),
    );
  replaceContent(root.querySelector(".tag-rows"), rows(item, actions), notes(item), buttons(item, state, actions));
}

const joined = (tags, texts) => [...new Set([...tags, ...texts.map((text) => text.trim()).filter(Boolean)])];

function tagForm(input) {
  const form = element(
    "form",
    { class: "row tag-form" },
    element("label", { for: "tag-input", class: "unseen" }, "Tags, with Enter or a comma after each"),
    input,
    element("button", { type: "submit" }, "Find"),
  );
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    commit(input);
  });
  return form;
}

function tagInput() {
  const input = element("input", {
    id: "tag-input",
    list: "label-names",
    autocomplete: "off",
    placeholder: "wrench, nut …",
    enterkeyhint: "done",
  });
  input.addEventListener("input", (event) => {
    // A choice from the list of labels comes as one replacement of the text.
    const chosen = event.inputType === "insertReplacementText" || !(event instanceof InputEvent);
    if (chosen || input.value.includes(",")) commit(input);
  });
  input.addEventListener("keydown", (event) => {
    if (event.key === "Backspace" && !input.value) input.dropLast();
  });
  return input;
}

function commit(input) {
  const texts = input.value.split(",");
  input.value = "";
  input.taken(texts);
}

function rows(item, actions) {
  const ledger = new Map(item.ledger.map((row) => [row.tag, row]));
  return element("ul", { class: "tag-list" }, ...item.tags.map((tag) => tagRow(tag, ledger.get(tag), item, actions)));
}

function tagRow(tag, row, item, actions) {
  const { title, words, tone, suggestions } = row
    ? rowWords(row)
    : { title: tag, words: item.status === "finding" ? "looking …" : "", tone: "waiting", suggestions: [] };
  const without = item.tags.filter((other) => other !== tag);
  return element(
    "li",
    { class: `tag-row ${tone}` },
    element("div", {}, element("strong", {}, title), " ", element("span", { class: "tag-words" }, words)),
    element(
      "button",
      {
        type: "button",
        class: "small",
        "data-focus": `untag ${tag}`,
        "aria-label": `Remove the tag ${tag}`,
        onclick: () => actions.setTags(without),
      },
      "×",
    ),
    suggestions.length > 0 &&
      element(
        "div",
        { class: "row suggestions" },
        ...suggestions.map((label) =>
          element(
            "button",
            {
              type: "button",
              class: "small",
              onclick: () => actions.setTags(item.tags.map((other) => (other === tag ? label : other))),
            },
            label,
          ),
        ),
      ),
  );
}

function notes(item) {
  return item.warnings.map((warning) => element("p", { class: "note" }, warning));
}

function buttons(item, state, actions) {
  const many = actions.useTagsEverywhere && state.items.length > 1 && item.tags.length > 0;
  return element(
    "div",
    { class: "row" },
    !item.tags.length &&
      element(
        "button",
        { type: "button", "data-focus": "propose", onclick: () => actions.find() },
        "Let the model propose tags",
      ),
    many &&
      element(
        "button",
        { type: "button", "data-focus": "everywhere", onclick: actions.useTagsEverywhere },
        `Use these tags on all ${state.items.length} images`,
      ),
  );
}
