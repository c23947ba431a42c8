// Elements without a framework.

/** Return a new element; `on...` attributes are listeners, true sets a flag, null and false leave it out. */
export function element(name, attributes = {}, ...children) {
  const node = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) setAttribute(node, key, value);
  node.append(...present(children));
  return node;
}

const isAbsent = (value) => value === null || value === undefined || value === false;
const present = (children) => children.flat().filter((child) => !isAbsent(child));

function setAttribute(node, key, value) {
  if (isAbsent(value)) return;
  if (key.startsWith("on")) node.addEventListener(key.slice(2), value);
  else if (key === "style") for (const [name, text] of Object.entries(value)) node.style.setProperty(name, text);
  else if (key === "value") node.value = value;
  else node.setAttribute(key, value === true ? "" : String(value));
}

/** Put `children` into `root` in place of what it holds. The focus stays on the element of the same `data-focus`. */
export function replaceContent(root, ...children) {
  const focused = root.contains(document.activeElement) ? document.activeElement.dataset.focus : undefined;
  root.replaceChildren(...present(children));
  if (focused) root.querySelector(`[data-focus="${CSS.escape(focused)}"]`)?.focus();
}

/** Return the element of the page with this id. */
export const byId = (id) => document.getElementById(id);
