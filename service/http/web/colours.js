// One colour for each label: hues far apart, light enough to be seen over dark images and dark enough over light ones.

const HUES_DEG = [210, 32, 145, 330, 55, 265, 178, 4, 95, 300, 230, 16];

/** Return the colour of a label as CSS, by its place among the labels of the bundle. */
export function colourOf(label, labels) {
  const index = Math.max(
    0,
    labels.findIndex(({ name }) => name === label),
  );
  return hueColour(HUES_DEG[index % HUES_DEG.length], 62 - 10 * (Math.floor(index / HUES_DEG.length) % 2));
}

const hueColour = (hueDeg, lightness) => `hsl(${hueDeg} 90% ${lightness}%)`;
