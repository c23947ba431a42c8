"""API keys and the rate of each."""
