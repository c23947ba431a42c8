"""How a model travels: checkpoints to bundle."""
