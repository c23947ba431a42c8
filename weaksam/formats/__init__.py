"""Annotation formats that labelling and training write."""
