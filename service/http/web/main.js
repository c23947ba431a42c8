// The page for images that people bring.

import { startPage } from "./page.js";
import { uploadSource } from "./source.js";

startPage(uploadSource());
