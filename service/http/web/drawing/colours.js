// One colour for each label, light enough to be seen over dark images and dark enough over light ones. The golden angle
// keeps hues apart for any number of labels; overlays of the service do the same.

const FIRST_HUE_DEG = 210;
const GOLDEN_ANGLE_DEG = 137.508;

/** Return the colour of a label as CSS, by its place among the labels of the bundle. */
export function colourOf(label, labels) {
  const index = Math.max(0, labels.findIndex(({ name }) => name === label));
  return `hsl(${Math.round(FIRST_HUE_DEG + index * GOLDEN_ANGLE_DEG) % 360} 90% ${index % 2 ? 66 : 58}%)`;
}
