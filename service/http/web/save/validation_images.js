// Which images validate: the rule of weaksam/validation_images.py, which says why. A test compares the two.

const SHORTEST_MEAN_RUN = 5;
const VAL_SHARE = 0.1;

/**
 * Return the names of the images that validate; of a single image, none.
 * @param {Map<string, string[]>} tagsOf  the tags of each image by its name
 * @returns {Set<string>}
 */
export function validationNames(tagsOf) {
  const sequences = sequencesOf(tagsOf);
  const heldOut = new Set(sequences.flatMap(lastTenth));
  const all = countTags([...tagsOf.values()]);
  const ofHeldOut = countTags([...heldOut].map((name) => tagsOf.get(name)));
  const isLopsided = [...ofHeldOut].some(([tag, count]) => 2 * count > all.get(tag));
  const spread = isLopsided && sequences.length === 1 ? spreadNames(tagsOf) : new Set();
  return spread.size ? spread : heldOut;
}

/** Return the sorted names as runs of one set of tags; as a single run if such runs are short. */
function sequencesOf(tagsOf) {
  const sorted = [...tagsOf.keys()].sort();
  const sequences = [];
  let previous = null;
  for (const name of sorted) {
    const tags = JSON.stringify([...tagsOf.get(name)].sort());
    if (tags !== previous) sequences.push([]);
    sequences.at(-1).push(name);
    previous = tags;
  }
  return sorted.length < SHORTEST_MEAN_RUN * sequences.length ? [sorted] : sequences;
}

function lastTenth(sequence) {
  const count = Math.max(halfToEven(VAL_SHARE * sequence.length), sequence.length > 1 ? 1 : 0);
  return sequence.slice(sequence.length - count);
}

/** Return the nearest whole number, of two as near the even one, as Python rounds. */
function halfToEven(number) {
  const below = Math.floor(number);
  return number - below === 0.5 ? below + (below % 2) : Math.round(number);
}

function countTags(tagsOfImages) {
  const counts = new Map();
  for (const tag of tagsOfImages.flat()) counts.set(tag, (counts.get(tag) ?? 0) + 1);
  return counts;
}

/** Return one of every ten sorted names, the last that is not the only one left to learn a tag from. */
function spreadNames(tagsOf) {
  const names = [...tagsOf.keys()].sort();
  const left = countTags([...tagsOf.values()]);
  const step = Math.round(1 / VAL_SHARE);
  const spread = new Set();
  for (let start = 0; start < names.length; start += step) {
    const ten = names.slice(start, start + step);
    const chosen = ten.findLast((name) => tagsOf.get(name).every((tag) => left.get(tag) > 1));
    if (chosen === undefined) continue;
    spread.add(chosen);
    for (const tag of tagsOf.get(chosen)) left.set(tag, left.get(tag) - 1);
  }
  return spread;
}
