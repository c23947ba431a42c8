"""Commands that label folders, and turn their results into what other tools read."""
