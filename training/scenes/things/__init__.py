"""What is drawn: tools, debris, goods, random shapes and distractors."""
