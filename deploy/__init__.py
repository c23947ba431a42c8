"""How a model travels: finished runs to a bundle, a bundle to Triton, and published weights to this machine."""
