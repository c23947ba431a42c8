"""Pseudo ground truth: boxes and masks that the weak detector is sure of."""
