"""Finished runs to a bundle of ONNX graphs, each compared with torch."""
