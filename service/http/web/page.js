// The page put together: state, actions, panels, stage and keyboard.

import { createActions } from "./actions.js";
import { storedKey } from "./api.js";
import { byId, element, replaceContent } from "./dom.js";
import { explainPanel } from "./panels/explain_panel.js";
import { showHelp } from "./dialogs/help_dialog.js";
import { heatMapOf } from "./drawing/heat_map.js";
import { imagesStrip } from "./panels/images_strip.js";
import { takeFiles } from "./intake.js";
import { askForKey } from "./dialogs/key_dialog.js";
import { keysOf, listenToKeys } from "./keyboard.js";
import { objectsPanel } from "./panels/objects_panel.js";
import { problemBanner } from "./panels/problem_banner.js";
import { askHowToSave } from "./dialogs/save_dialog.js";
import { createStage } from "./drawing/stage.js";
import { createStore, currentItem, isUnsaved, objectsOf, startState } from "./state.js";
import { tagsPanel } from "./panels/tags_panel.js";
import { toolbar } from "./panels/toolbar.js";
import { hintWords, welcome } from "./panels/welcome.js";
import { counted } from "./panels/words.js";

/**
 * Start the page.
 * @param {import("./source.js").Source} source  where images come from and labels go
 */
export function startPage(source) {
  const store = createStore(startState());
  const actions = createActions(store, source, announce);
  const stage = createStage(byId("canvas"), {
    tool: () => store.get().tool,
    click: actions.click,
    box: actions.box,
    paint: actions.paint,
  });
  const page = { store, actions, stage, source };
  const dialogs = {
    help: () => showHelp(keysOf(source)),
    save: () => askHowToSave(page),
    key: () => askForKey(actions.loadLabels),
    choose: () => byId("files").click(),
  };
  byId("add-images").hidden = !source.takesFiles;
  byId("save").hidden = source.panel !== null;
  byId("add-images").addEventListener("click", dialogs.choose);
  byId("save").addEventListener("click", dialogs.save);
  byId("key").addEventListener("click", dialogs.key);
  byId("help").addEventListener("click", dialogs.help);
  if (source.takesFiles) takeFiles(actions.addFiles);
  listenToKeys({ ...page, dialogs });
  store.subscribe((state) => render(state, page, dialogs));
  render(store.get(), page, dialogs);
  warnOfUnsaved(store);
  actions.start();
}

function render(state, page, dialogs) {
  const item = currentItem(state);
  const { actions } = page;
  problemBanner(byId("problem"), state, actions, dialogs);
  byId("bundle").textContent = state.bundle ? `${state.bundle.name} ${state.bundle.version}` : "";
  byId("key").hidden = !page.source.takesKey || (!state.needsKey && !storedKey());
  byId("save").disabled = !state.items.some(({ image }) => image);
  byId("work").classList.toggle("empty", !item);
  toolbar(byId("toolbar"), state, page);
  page.source.panel?.(byId("review"), state, page);
  welcome(byId("welcome"), state, page, dialogs);
  imagesStrip(byId("images"), state, actions);
  tagsPanel(byId("tags"), state, actions);
  objectsPanel(byId("objects"), state, actions);
  explainPanel(byId("explain"), state, actions);
  listLabels(byId("label-names"), state);
  byId("hint").textContent = hintWords(state);
  byId("canvas").setAttribute("aria-label", canvasName(item));
  showScene(state, item, page);
}

function listLabels(list, { labels, bundle }) {
  const digest = bundle?.digest ?? "";
  if (list.dataset.bundle === digest) return;
  list.dataset.bundle = digest;
  replaceContent(list, ...labels.map(({ name }) => element("option", { value: name })));
}

function canvasName(item) {
  if (!item) return "No image yet";
  const size = item.image ? `, ${item.image.width} by ${item.image.height} pixels` : "";
  return `${item.name}${size}, ${counted(objectsOf(item).length, "object")}`;
}

function showScene(state, item, { stage, actions, store }) {
  const tag = item?.explanation?.tags.find(({ label }) => label === state.layers.heatLabel);
  stage.show({
    bitmap: actions.bitmap(),
    heat: heatMapOf(tag, () => store.update((now) => ({ ...now }))),
    objects: objectsOf(item),
    selectedId: state.selectedId,
    labels: state.labels,
    masksShown: state.masksShown,
    explanation: item?.explanation ?? null,
    layers: state.layers,
  });
}

/** Say something to those who do not see the page. */
function announce(words) {
  byId("live").textContent = words;
}

function warnOfUnsaved(store) {
  addEventListener("beforeunload", (event) => {
    const unsaved = store.get().items.some(isUnsaved);
    if (unsaved) event.preventDefault();
  });
}
