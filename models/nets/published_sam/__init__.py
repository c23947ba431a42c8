"""Published promptable segmenters, read from their official checkpoints."""
