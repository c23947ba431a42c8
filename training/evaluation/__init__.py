"""Measures: the served pipeline on annotated images, labels on disk, proposals, and where objects are lost."""
