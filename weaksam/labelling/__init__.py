"""Labelling runs: a folder of tagged images through a service, resumable."""
