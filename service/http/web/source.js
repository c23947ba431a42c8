// Where images come from, and where finished labels go. The page knows nothing else of either, so another source (a
// labelling run under review) gives the same page other images and another end.

/**
 * @typedef {object} Item
 * @property {string} id    unique and stable: the page keeps its edits under it
 * @property {string} name  the file name, as saved files state it
 * @property {string} [waiting]  what the list of images says until the image is shown
 *
 * @typedef {object} LoadedItem
 * @property {Blob} image         the image file
 * @property {string[]} tags      what is in the image, as far as the source knows
 * @property {object|null} result a result of `POST /detect`; null lets the page ask the service once there are tags
 *
 * @typedef {object} Source
 * @property {boolean} takesFiles  whether people may drop, paste and choose images
 * @property {boolean} takesKey    whether the page sends an API key; if not, whoever serves the page does
 * @property {() => Promise<Item[]>} list  the images at the start, in the order in which they shall be seen
 * @property {(files: File[]) => Item[]} add  new images; only called if `takesFiles`
 * @property {(item: Item) => Promise<LoadedItem>} load  called when the image is first shown
 * @property {((root: HTMLElement, state: object, page: object) => void)|null} panel  renders what the source itself
 *   asks of people, such as to accept an image; null if people save files instead
 * @property {object[]} keys  further keys, as those of keyboard.js
 * @property {() => {title: string, detail: string, again: boolean}|null} [emptyWords]  what stands in place of an image
 *   if there is none, and whether to look again may help; needed unless `takesFiles`
 */

/**
 * Images that people drop, paste or choose. They stay in the browser, and labels are saved as files.
 * @returns {Source}
 */
export function uploadSource() {
  const files = new Map();
  const add = (added) =>
    added.map((file) => {
      const item = { id: `upload-${files.size + 1}`, name: uniqueName(file.name || "pasted.png", files) };
      files.set(item.id, { ...item, file });
      return item;
    });
  return {
    takesFiles: true,
    takesKey: true,
    list: async () => [],
    add,
    load: async ({ id }) => ({ image: files.get(id).file, tags: [], result: null }),
    panel: null,
    keys: [],
  };
}

// Saved labels name images by their file names, so two of one name would be one image.
function uniqueName(name, files) {
  const taken = new Set([...files.values()].map((file) => file.name));
  const [stem, suffix] = name.match(/^(.*?)(\.[^.]*)?$/s).slice(1);
  let unique = name;
  for (let number = 2; taken.has(unique); number++) unique = `${stem} (${number})${suffix ?? ""}`;
  return unique;
}
