"""Labelled boxes and masks from image-level tags: the client of the service and its data types."""
