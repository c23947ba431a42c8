"""What labelling tools call: each under a path of its own, in the form that the tool expects."""
