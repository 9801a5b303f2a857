"""What strangers wrote, fit for a terminal. Imports nothing."""

_LONGEST = 4000  # characters that are printed


def printable(text: str) -> str:
    """The text without what would move a terminal's cursor or change its colors, and without the middle of pages: names
    in a stranger's file may hold both. Bytes of names that are no text stay as they are.
    """
    if len(text) > _LONGEST:
        text = f"{text[: _LONGEST // 2]} ... {text[-_LONGEST // 2 :]}"
    return "".join(one if one.isprintable() or one == "\n" or "\udc80" <= one <= "\udcff" else "?" for one in text)
