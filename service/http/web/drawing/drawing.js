// What is seen on the canvas. Everything is drawn in pixels of the image; `one` is a CSS pixel in them.

import { colourOf } from "./colours.js";
import { drawNames } from "./names.js";
import { shapeOf } from "../masks/mask_shapes.js";

const TAU = 2 * Math.PI;

/**
 * Draw the image and what lies over it.
 * @param {CanvasRenderingContext2D} context
 * @param {object} scene  `{bitmap, heat, objects, selectedId, labels, masksShown, explanation, layers, cross, draft}`
 * @param {{scale: number, left: number, top: number}} view
 */
export function drawScene(context, scene, view, pixelRatio) {
  context.setTransform(1, 0, 0, 1, 0, 0);
  context.clearRect(0, 0, context.canvas.width, context.canvas.height);
  if (!scene.bitmap) return;
  const scale = view.scale * pixelRatio;
  context.setTransform(scale, 0, 0, scale, view.left * pixelRatio, view.top * pixelRatio);
  context.imageSmoothingEnabled = view.scale < 4;
  const one = 1 / view.scale;
  context.drawImage(scene.bitmap, 0, 0);
  if (scene.heat) drawHeat(context, scene);
  if (scene.explanation) drawEvidence(context, scene, one);
  const selected = scene.objects.filter(({ id }) => id === scene.selectedId);
  const others = scene.objects.filter(({ id }) => id !== scene.selectedId);
  if (scene.masksShown) {
    [...others, ...selected].forEach((object) => drawObject(context, object, scene, one));
    drawNames(context, scene, view, pixelRatio);
  }
  selected.forEach((object) => drawPrompt(context, object, one));
  if (scene.draft) strokeBox(context, scene.draft, "white", one, [5 * one, 4 * one]);
  if (scene.stroke) drawStroke(context, scene);
  if (scene.cross) drawCross(context, scene.cross, one);
}

function drawHeat(context, { heat, bitmap }) {
  context.imageSmoothingEnabled = true;
  context.drawImage(heat, 0, 0, bitmap.width, bitmap.height);
}

function drawObject(context, object, { labels, selectedId }, one) {
  const colour = colourOf(object.label, labels);
  const selected = object.id === selectedId;
  const shape = shapeOf(object.mask);
  context.lineJoin = "round";
  if (shape) {
    context.fillStyle = colour;
    context.globalAlpha = selected ? 0.28 : 0.42;
    context.fill(shape.path, "evenodd");
    context.globalAlpha = 1;
    outline(context, () => context.stroke(shape.path), colour, one, selected);
  }
  if (object.box_xyxy) strokeBox(context, object.box_xyxy, colour, one, selected ? [] : [4 * one, 3 * one]);
}

// A dark line below the coloured one keeps it visible over any image.
function outline(context, stroke, colour, one, selected) {
  context.setLineDash([]);
  context.strokeStyle = "rgb(0 0 0 / 60%)";
  context.lineWidth = (selected ? 5 : 3) * one;
  stroke();
  context.strokeStyle = selected ? "white" : colour;
  context.lineWidth = (selected ? 2.5 : 1.5) * one;
  stroke();
}

function strokeBox(context, [x0, y0, x1, y1], colour, one, dash) {
  context.setLineDash(dash);
  context.strokeStyle = colour;
  context.lineWidth = 1.5 * one;
  context.strokeRect(x0, y0, x1 - x0, y1 - y0);
  context.setLineDash([]);
}

function drawPrompt(context, { clicks, promptBox }, one) {
  if (promptBox) strokeBox(context, promptBox, "white", one, [5 * one, 4 * one]);
  for (const [x, y, label] of clicks) {
    dot(context, [x, y], 6 * one, label ? "#16a34a" : "#dc2626", one);
    context.strokeStyle = "white";
    context.lineWidth = 1.6 * one;
    context.beginPath();
    line(context, [x - 3 * one, y], [x + 3 * one, y]);
    if (label) line(context, [x, y - 3 * one], [x, y + 3 * one]);
    context.stroke();
  }
}

function drawEvidence(context, { explanation, layers }, one) {
  const tags = explanation.tags.filter(({ label }) => !layers.heatLabel || label === layers.heatLabel);
  if (layers.dropped)
    explanation.dropped.forEach(({ box_xyxy: box }) =>
      strokeBox(context, box, "rgb(248 113 113 / 55%)", one, [3 * one, 3 * one]),
    );
  if (layers.kept)
    explanation.proposals.forEach(({ box_xyxy: box }) => strokeBox(context, box, "rgb(94 234 212 / 80%)", one, []));
  if (layers.prompts) explanation.prompts.forEach((prompt) => drawAsked(context, prompt, one));
  if (layers.peaks) tags.flatMap(({ peaks }) => peaks).forEach(({ point_xy: point }) => drawPeak(context, point, one));
}

const FATE_COLOURS = { kept: "#5eead4", dropped: "#fbbf24", poor: "#f87171" };

function drawStroke(context, { stroke, brushRadius }) {
  [context.lineCap, context.lineJoin, context.lineWidth] = ["round", "round", 2 * brushRadius];
  context.strokeStyle = "rgb(255 255 255 / 60%)";
  context.beginPath();
  context.moveTo(...stroke[0]);
  for (const point of stroke.slice(1)) context.lineTo(...point);
  context.stroke();
}

function drawAsked(context, { points_xy: points, box_xyxy: box, fate }, one) {
  if (box) strokeBox(context, box, FATE_COLOURS[fate], one, [one, 3 * one]);
  points.forEach((point) => dot(context, point, 2.5 * one, FATE_COLOURS[fate], one));
}

function drawPeak(context, [x, y], one) {
  const size = 7 * one;
  context.beginPath();
  line(context, [x - size, y - size], [x + size, y + size]);
  line(context, [x - size, y + size], [x + size, y - size]);
  strokeOverBlack(context, "#fde047", one);
}

function drawCross(context, [x, y], one) {
  const [gap, end] = [4 * one, 14 * one];
  context.beginPath();
  for (const [dx, dy] of [
    [1, 0],
    [-1, 0],
    [0, 1],
    [0, -1],
  ])
    line(context, [x + gap * dx, y + gap * dy], [x + end * dx, y + end * dy]);
  strokeOverBlack(context, "white", one);
}

function strokeOverBlack(context, colour, one) {
  context.strokeStyle = "black";
  context.lineWidth = 4 * one;
  context.stroke();
  context.strokeStyle = colour;
  context.lineWidth = 2 * one;
  context.stroke();
}

function dot(context, [x, y], radius, colour, one) {
  context.beginPath();
  context.arc(x, y, radius, 0, TAU);
  context.fillStyle = colour;
  context.fill();
  context.strokeStyle = "rgb(0 0 0 / 70%)";
  context.lineWidth = one;
  context.stroke();
}

function line(context, from, to) {
  context.moveTo(...from);
  context.lineTo(...to);
}
