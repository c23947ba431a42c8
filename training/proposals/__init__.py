"""Proposals of every training image, from an exported bundle."""
