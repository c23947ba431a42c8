"""Commands that measure a bundle."""
