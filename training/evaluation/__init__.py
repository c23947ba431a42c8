"""Measures of what is served: the pipeline on annotated images, proposal recall."""
