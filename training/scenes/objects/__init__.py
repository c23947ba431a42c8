"""What is drawn: hand tools, fasteners, debris, everyday items, random shapes and distractors."""
