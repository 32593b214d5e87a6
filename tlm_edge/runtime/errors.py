"""The one error type that reaches the user."""

from __future__ import annotations


class UserError(Exception):
    """A mistake the user can repair: one line that says what is wrong, where, and what to do.

    The command line prints it as ``error: …`` and exits with status 2.
    """


class MissingExtraError(UserError):
    """A command needs packages that the light installation leaves out."""
