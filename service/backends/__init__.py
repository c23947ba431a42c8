"""Where graphs run: one protocol, and its implementations."""
