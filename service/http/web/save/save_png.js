// One PNG for each mask, of the image's size and 255 inside, and a table of them, as `weaksam convert --to png`.

import { shapeOf } from "../masks/mask_shapes.js";
import { zip } from "./zip.js";

const [BLACK, WHITE] = [0xff000000, 0xffffffff]; // four bytes of a pixel, opaque
const COLUMNS = ["file", "image", "label", "score", "x0", "y0", "x1", "y1"];

export async function savePng({ images }) {
  const rows = [COLUMNS];
  const files = [];
  for (const image of images) {
    for (const [index, { label, score, source, box_xyxy: box, mask }] of image.objects.entries()) {
      const shape = shapeOf(mask);
      const name = shape ? `masks/${image.fileName}.${index + 1}.png` : "";
      if (shape) files.push([name, await maskPng(shape.crop, image)]);
      rows.push([name, pathCell(image.fileName), textCell(label), source === "person" ? "" : score, ...box]);
    }
  }
  const table = rows.map((row) => `${row.map(cell).join(",")}\n`).join("");
  return { name: "masks.zip", blob: zip([...files, ["masks.csv", new TextEncoder().encode(table)]]) };
}

// No cell may begin as a formula does, which spreadsheets run: see `weaksam.files.csv_cells`.
const pathCell = (path) => (/^[=+\-@\t\r]/.test(path) ? `./${path}` : path);
const textCell = (text) => (/^ *[=+\-@\t\r]/.test(text) ? ` ${text}` : text);

const cell = (value) => (/[",\n\r]/.test(String(value)) ? `"${String(value).replaceAll('"', '""')}"` : String(value));

async function maskPng({ x0, y0, width, height, pixels }, image) {
  const canvas = new OffscreenCanvas(image.width, image.height);
  const context = canvas.getContext("2d");
  context.fillRect(0, 0, image.width, image.height);
  const part = new ImageData(width, height);
  new Uint32Array(part.data.buffer).set(Uint32Array.from(pixels, (inside) => (inside ? WHITE : BLACK)));
  context.putImageData(part, x0, y0);
  return new Uint8Array(await (await canvas.convertToBlob({ type: "image/png" })).arrayBuffer());
}
