// The page for a labelling run under review, as `weaksam review` serves it.

import { startPage } from "./page.js";
import { reviewSource } from "./review/review_source.js";

startPage(reviewSource());
