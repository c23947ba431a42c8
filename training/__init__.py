"""How a model is made: data, stages, losses, engine, metrics."""
