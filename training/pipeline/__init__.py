"""The whole training in one command, and its report."""
