"""Passwords in addresses of servers, which files and logs of a run would show."""

import re

_OF_FILES = ("sqlite", "file")  # schemes whose addresses are paths, in which an @ means nothing


def has_password(uri: str) -> bool:
    """Whether an address holds a password, or a name at a web server, as which many of them take a token."""
    scheme, _, rest = uri.lower().partition("://")
    if scheme.startswith(_OF_FILES):
        return False
    name = rest.rpartition("@")[0]  # the last @: a password may hold others, though it should not
    return "password=" in rest or ":" in name or (bool(name) and scheme.startswith("http"))


def hide_password(text: str) -> str:
    """The text without the names and passwords of addresses in it."""
    return re.sub(r"(password=)[^&\s]*", r"\1...", re.sub(r"://.*@", "://...@", text), flags=re.IGNORECASE)
