"""How a model is served: settings, HTTP, pipeline, backends."""
