"""From class activation maps and prompt maps to prompts, and from these to proposals."""
