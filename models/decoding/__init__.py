"""Decoding of image files: JPEG at a reduced scale or without its end, pixels of any kind to upright RGB."""
