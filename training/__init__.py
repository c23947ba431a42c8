"""How a model is made: data, scenes, one folder for each stage, metrics, and the whole path in one run."""
