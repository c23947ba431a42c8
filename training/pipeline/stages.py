"""Names of the stages: of their folders, in the report, and of the sections of settings that decide them."""

from __future__ import annotations

from models.bundle import CAM, DETECTOR, WSOD

# Trainings, in their order. Their runs are those of `weaksam train NAME`: `FEATURES` is another `CAM`, and `SEGMENTER`
# a `DETECTOR` that learns masks.
FEATURES, SEGMENTER = "features", "segmenter"
TRAININGS = (CAM, FEATURES, WSOD, DETECTOR, SEGMENTER)
# What lies between them.
PROPOSER, PROPOSALS, PGT = "proposer", "proposals", "pgt"
# Stages that come more than once: `bundle-NAME` for each bundle, and so on.
BUNDLE, EVALUATE, ANSWERS = "bundle", "evaluate", "answers"
# Data that is made.
SCENES, MOSAICS = "scenes", "mosaics"
