"""Data sets of tagged images: readers of all layouts, splits, mosaics, reports of bad data."""
