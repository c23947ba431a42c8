"""Average precision, scorecards and score thresholds."""
