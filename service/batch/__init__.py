"""Labelling on a cluster: the service's pipeline in worker processes, without HTTP."""
