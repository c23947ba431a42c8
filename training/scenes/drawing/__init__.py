"""Brushes: noise, outlines, forms, materials and sprites."""
