// The outline of a mask along the edges of its pixels, so that it loses no pixel.

const STEPS = [
  [1, 0],
  [0, 1],
  [-1, 0],
  [0, -1],
]; // right, down, left, up; the mask lies to the right hand

/**
 * Return the closed rings of a mask's crop, corners only, in pixels of the image.
 *
 * Outer rings run clockwise, those of holes the other way round. Pixels that touch at a corner belong to rings of
 * their own.
 * @returns {[number, number][][]}
 */
export function ringsOf(crop) {
  const inside = (x, y) =>
    x >= 0 && y >= 0 && x < crop.width && y < crop.height && crop.pixels[y * crop.width + x] === 1;
  const seen = new Uint8Array(crop.width * crop.height);
  const rings = [];
  for (let y = 0; y < crop.height; y++) {
    for (let x = 0; x < crop.width; x++) {
      if (inside(x, y) && !inside(x, y - 1) && !seen[y * crop.width + x]) rings.push(trace(x, y, inside, seen, crop));
    }
  }
  return rings;
}

// Starts on the upper edge of a pixel and goes right. `seen` marks the pixels whose upper edge was walked.
function trace(startX, startY, inside, seen, { x0, y0, width }) {
  const ring = [];
  let [x, y, heading] = [startX, startY, 0];
  do {
    if (heading === 0) seen[y * width + x] = 1;
    const next = turn(x, y, heading, inside);
    const [stepX, stepY] = STEPS[heading];
    [x, y] = [x + stepX, y + stepY];
    if (next !== heading) ring.push([x0 + x, y0 + y]);
    heading = next;
  } while (x !== startX || y !== startY || heading !== 0);
  return ring;
}

// The heading after one step from corner x, y: right where the pixel ahead is outside, left where both are inside.
function turn(x, y, heading, inside) {
  const [stepX, stepY] = STEPS[heading];
  const [cornerX, cornerY] = [x + stepX, y + stepY];
  const ahead = pixelBeside(cornerX, cornerY, heading);
  const across = pixelBeside(cornerX, cornerY, (heading + 3) % 4);
  if (!inside(...ahead)) return (heading + 1) % 4;
  return inside(...across) ? (heading + 3) % 4 : heading;
}

// The pixel to the right hand of an edge that leaves the corner with this heading.
function pixelBeside(x, y, heading) {
  return [
    [x, y],
    [x - 1, y],
    [x - 1, y - 1],
    [x, y - 1],
  ][heading];
}

/** Return all rings as one, joined by bridges of no width, as `weaksam convert --to yolo-seg` does. */
export function joinedRing(rings) {
  const [first, ...rest] = rings;
  return rest.reduce(bridge, first);
}

function bridge(ring, other) {
  let best = { distance: Infinity, from: 0, to: 0 };
  ring.forEach(([x0, y0], from) => {
    other.forEach(([x1, y1], to) => {
      const distance = (x0 - x1) ** 2 + (y0 - y1) ** 2;
      if (distance < best.distance) best = { distance, from, to };
    });
  });
  const loop = [...other.slice(best.to), ...other.slice(0, best.to + 1)];
  return [...ring.slice(0, best.from + 1), ...loop, ...ring.slice(best.from)];
}
