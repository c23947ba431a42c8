"""What labelling tools load into their own programs."""
