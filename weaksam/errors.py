"""The error that a user's mistake raises."""

from __future__ import annotations


class UserError(ValueError):
    """A mistake of the user: an option, a setting, a file or data that cannot be used.

    The command line prints its message as one sentence. Any other `ValueError` is a fault of the program and shows
    where it arose. The message names the field and its value, and says what to do.
    """
