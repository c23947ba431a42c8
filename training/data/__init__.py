"""Data sets of tagged images: readers for VOC, COCO and plain folders, splits, mosaics, reports of bad data."""
