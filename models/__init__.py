"""What a model is: bundles, containers, boxes, masks, prompts, proposals and post-processing, in numpy."""
