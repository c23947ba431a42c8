// The names of objects on the canvas. A name stands beside its object where there is room, so that it hides none.

import { colourOf } from "./colours.js";
import { toCanvas } from "./view.js";

const HEIGHT_PX = 18;
const GAP_PX = 2;
const MAX_HIDDEN = 0.1; // share of an object that a name may cover

/**
 * Draw the names of the objects whose box is in view. One that would hide an object is left out until it is selected.
 * @param {CanvasRenderingContext2D} context
 * @param {{objects: object[], selectedId: string|null, labels: object[]}} scene
 * @param {{scale: number, left: number, top: number}} view
 */
export function drawNames(context, { objects, selectedId, labels }, view, pixelRatio) {
  const canvasWh = [context.canvas.width / pixelRatio, context.canvas.height / pixelRatio];
  context.save();
  context.setTransform(pixelRatio, 0, 0, pixelRatio, 0, 0);
  context.textBaseline = "middle";
  const named = objects
    .map((object) => nameOf(context, object, object.id === selectedId, labels, view, canvasWh))
    .filter((name) => name?.box)
    .sort((a, b) => b.selected - a.selected);
  const places = placeNames(named, canvasWh);
  named.forEach((name, index) => places[index] && drawName(context, name, places[index]));
  context.restore();
}

/**
 * Return where each name lies: `[x0, y0, x1, y1]`, or null if it would hide something. Those that come first have the
 * first choice. All is in CSS pixels of the canvas.
 * @param {{box: number[], width: number, selected: boolean}[]} named  a selected one always has a place
 */
function placeNames(named, canvasWh) {
  const taken = [];
  return named.map((name) => {
    const places = placesBeside(name, canvasWh).map((place) => [hiddenBy(place, named, taken), place]);
    const least = Math.min(...places.map(([hidden]) => hidden));
    const limit = name.selected ? Math.max(least, MAX_HIDDEN) : MAX_HIDDEN;
    const place = places.find(([hidden]) => hidden <= limit)?.[1] ?? null;
    if (place) taken.push(place);
    return place;
  });
}

// Above and below the box, beside it, and in its corner: the place that people expect comes first.
function placesBeside({ box: [x0, y0, x1, y1], width }, [canvasWidth, canvasHeight]) {
  const [above, below] = [y0 - HEIGHT_PX - GAP_PX, y1 + GAP_PX];
  const corners = [
    [x0, above],
    [x0, below],
    [x1 - width, above],
    [x1 - width, below],
    [x1 + GAP_PX, y0],
    [x0 - width - GAP_PX, y0],
    [x0, y0],
  ];
  const [right, bottom] = [Math.max(0, canvasWidth - width), Math.max(0, canvasHeight - HEIGHT_PX)];
  return corners.map(([x, y]) => {
    const [left, top] = [Math.min(Math.max(0, x), right), Math.min(Math.max(0, y), bottom)];
    return [left, top, left + width, top + HEIGHT_PX];
  });
}

/** Return the largest share of an object that a place hides; 1 if it lies on another name. */
function hiddenBy(place, named, taken) {
  if (taken.some((other) => common(place, other) > 0)) return 1;
  return Math.max(...named.map(({ box }) => common(place, box) / area(box)));
}

const area = ([x0, y0, x1, y1]) => Math.max(0, x1 - x0) * Math.max(0, y1 - y0);
const cut = (a, b) => [Math.max(a[0], b[0]), Math.max(a[1], b[1]), Math.min(a[2], b[2]), Math.min(a[3], b[3])];
const common = (a, b) => area(cut(a, b));

function nameOf(context, { label, score, source, box_xyxy: boxXyxy }, selected, labels, view, canvasWh) {
  if (!boxXyxy) return null;
  const text = source === "person" ? label : `${label} ${score.toFixed(2)}`;
  const font = `${selected ? 650 : 550} 12px system-ui, sans-serif`;
  context.font = font;
  const width = context.measureText(text).width + 10;
  const whole = [...toCanvas(view, boxXyxy.slice(0, 2)), ...toCanvas(view, boxXyxy.slice(2))];
  const box = cut(whole, [0, 0, ...canvasWh]);
  return { text, font, width, selected, colour: colourOf(label, labels), box: area(box) > 0 ? box : null };
}

function drawName(context, { text, font, colour }, [x0, y0, x1, y1]) {
  context.fillStyle = colour;
  context.beginPath();
  context.roundRect(x0, y0, x1 - x0, y1 - y0, 3);
  context.fill();
  context.font = font;
  context.fillStyle = "#111";
  context.fillText(text, x0 + 5, y0 + 9.5);
}
