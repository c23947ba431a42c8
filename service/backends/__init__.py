"""Backends, which run graphs: one protocol and its implementations."""
