"""Lengths of time as people read them."""


def duration(seconds: float) -> str:
    """ "42 seconds", "3.5 minutes", "12.1 hours" or "4.2 days"."""
    for unit, name in ((86400, "days"), (3600, "hours"), (60, "minutes")):
        if seconds >= unit:
            return f"{seconds / unit:.1f} {name}"
    return f"{seconds:.0f} seconds"
