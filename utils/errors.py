"""The exception, and the warning, that a user is meant to read."""


class UserError(ValueError):
    """Something the user can put right, said in one sentence: what is wrong and what to do.

    Entry points print it and exit with status 2; it never shows as a traceback.
    """


class UserWarned(UserWarning):
    """Something the user should know that stops nothing, said in one sentence."""
