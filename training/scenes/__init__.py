"""Synthetic images with exact instance masks: random shapes for pre-training, drawn debris for scenes."""
