"""Masks: what a segmenter's logits become in the image."""
