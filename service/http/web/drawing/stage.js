// The canvas: its view, the pointer and the keyboard's cross. It reports what was meant, in pixels of the image.

import { drawScene } from "./drawing.js";
import { boxView, fitView, panned, toImage, zoomed } from "./view.js";

const MIN_DRAG_PX = 5;
const CROSS_STEP_PX = 8;
const BRUSH_RADIUS_PX = 9;
const PAINTING_TOOLS = ["add", "remove"];
const ARROWS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };

/**
 * Return the stage on a canvas.
 * @param {HTMLCanvasElement} canvas
 * @param {{tool: () => string, click: (pointXy: number[], off: boolean) => void, box: (boxXyxy: number[]) => void,
 *   paint: (points: number[][], radius: number, off: boolean) => void}} to
 *   `off` is true where the place shall not belong to the object
 */
export function createStage(canvas, to) {
  const context = canvas.getContext("2d");
  let scene = { bitmap: null };
  let view = fitView([1, 1], [1, 1]);
  let cross = null;
  let draft = null; // the box that is being dragged
  let stroke = null; // the points of the brush that is being dragged
  let fitted = true;
  const pointers = new Map();
  let drag = null;
  let queued = false;

  const canvasWh = () => [canvas.clientWidth, canvas.clientHeight];
  const wholeView = () => fitView([scene.bitmap.width, scene.bitmap.height], canvasWh());

  function draw() {
    if (queued) return;
    queued = true;
    requestAnimationFrame(() => {
      queued = false;
      drawScene(
        context,
        { ...scene, cross, draft, stroke, brushRadius: BRUSH_RADIUS_PX / view.scale },
        view,
        devicePixelRatio,
      );
    });
  }

  function fit() {
    fitted = true;
    if (scene.bitmap) view = wholeView();
    draw();
  }

  function zoom(factor, about = canvasWh().map((length) => length / 2)) {
    if (!scene.bitmap) return;
    fitted = false;
    view = zoomed(view, factor, about, wholeView().scale / 2);
    draw();
  }

  function enlarge(boxXyxy) {
    if (!scene.bitmap) return;
    fitted = false;
    view = boxView(boxXyxy, canvasWh());
    draw();
  }

  function resize() {
    const [width, height] = canvasWh();
    canvas.width = Math.round(width * devicePixelRatio);
    canvas.height = Math.round(height * devicePixelRatio);
    if (fitted) fit();
    draw();
  }

  const at = (event) => {
    const { left, top } = canvas.getBoundingClientRect();
    return [event.clientX - left, event.clientY - top];
  };
  const inImage = ([x, y]) => [clamp(x, scene.bitmap.width), clamp(y, scene.bitmap.height)];

  function down(event) {
    if (!scene.bitmap || (event.pointerType === "mouse" && event.button === 2)) return;
    canvas.setPointerCapture(event.pointerId);
    pointers.set(event.pointerId, at(event));
    const pans = event.button === 1 || (to.tool() === "select" && event.pointerType === "mouse");
    drag = { start: at(event), moved: false, pans: pans || pointers.size > 1 };
  }

  function move(event) {
    const before = pointers.get(event.pointerId);
    if (!before) return;
    const now = at(event);
    const others = [...pointers.entries()].filter(([id]) => id !== event.pointerId);
    pointers.set(event.pointerId, now);
    if (others.length) pinch(before, now, others[0][1]);
    else if (drag) follow(before, now);
  }

  function follow(before, now) {
    drag.moved ||= distance(drag.start, now) >= MIN_DRAG_PX;
    if (!drag.moved) return;
    if (to.tool() === "box" && !drag.pans)
      draft = boxOf(inImage(toImage(view, drag.start)), inImage(toImage(view, now)));
    else if (PAINTING_TOOLS.includes(to.tool()) && !drag.pans)
      stroke = [...(stroke ?? [toImage(view, drag.start)]), toImage(view, now)];
    else pan(now[0] - before[0], now[1] - before[1]);
    draw();
  }

  function pan(dx, dy) {
    fitted = false;
    view = panned(view, dx, dy);
  }

  function pinch(before, now, other) {
    drag = null;
    draft = stroke = null;
    pan((now[0] - before[0]) / 2, (now[1] - before[1]) / 2);
    zoom(distance(now, other) / Math.max(1, distance(before, other)), middle(now, other));
  }

  function up(event) {
    if (!pointers.delete(event.pointerId) || !drag) return;
    const [box, painted] = [draft, stroke];
    const { start, moved } = drag;
    drag = draft = stroke = null;
    const off = event.altKey || event.shiftKey;
    if (painted) to.paint(painted, BRUSH_RADIUS_PX / view.scale, off);
    else if (box && box[2] > box[0] && box[3] > box[1]) to.box(box);
    else if (!moved && event.button !== 1) clickAt(toImage(view, start), off);
    draw();
  }

  /** Forget what was being drawn: the browser or the system took the pointer away. */
  function cancel(event) {
    if (!pointers.delete(event.pointerId)) return;
    drag = draft = stroke = null;
    draw();
  }

  function clickAt([x, y], off) {
    if (x >= 0 && y >= 0 && x < scene.bitmap.width && y < scene.bitmap.height) to.click([x, y], off);
  }

  function key(event) {
    if (!scene.bitmap || event.ctrlKey || event.metaKey) return;
    const step = ARROWS[event.key];
    if (step) moveCross(step, event.shiftKey ? 4 : 1);
    else if (event.key === "Enter" && cross) to.click(cross, event.shiftKey || event.altKey);
    else return;
    event.preventDefault();
    event.stopPropagation();
  }

  function moveCross([dx, dy], times) {
    const step = (CROSS_STEP_PX * times) / view.scale;
    const from = cross ?? [scene.bitmap.width / 2, scene.bitmap.height / 2];
    cross = cross ? inImage([from[0] + dx * step, from[1] + dy * step]) : from;
    draw();
  }

  canvas.addEventListener("pointerdown", down);
  canvas.addEventListener("pointermove", move);
  canvas.addEventListener("pointerup", up);
  canvas.addEventListener("pointercancel", cancel);
  canvas.addEventListener("contextmenu", (event) => event.preventDefault());
  canvas.addEventListener("keydown", key);
  canvas.addEventListener("blur", () => {
    cross = null;
    draw();
  });
  canvas.addEventListener(
    "wheel",
    (event) => {
      event.preventDefault();
      zoom(Math.exp(-event.deltaY * 0.0018), at(event));
    },
    { passive: false },
  );
  new ResizeObserver(resize).observe(canvas);

  return {
    fit,
    zoom,
    /** Show a box of the image as large as the canvas allows. */
    enlarge,
    /** Show a scene; another image is fitted into the canvas. */
    show(next) {
      const changed = next.bitmap !== scene.bitmap;
      scene = next;
      if (changed) {
        cross = null;
        fit();
      }
      draw();
    },
  };
}

const clamp = (value, end) => Math.min(end - 0.5, Math.max(0, value));
const distance = ([x0, y0], [x1, y1]) => Math.hypot(x1 - x0, y1 - y0);
const middle = ([x0, y0], [x1, y1]) => [(x0 + x1) / 2, (y0 + y1) / 2];
const boxOf = ([x0, y0], [x1, y1]) => [Math.min(x0, x1), Math.min(y0, y1), Math.max(x0, x1), Math.max(y0, y1)];
