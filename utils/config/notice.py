"""What became of the keys of a config of InsightFace's, as a person reads it."""

from dataclasses import dataclass, field


@dataclass
class Notice:
    """What became of a file's keys: `translated` into ours, `ignored` (reason -> keys), what `differs` from the project
    although the key is the same, and `missing` data.

    findings: what is not possible, by the key of ours that it is about.
    """

    file: str
    project: str = ""  # of InsightFace's, for which the file was written
    defaults: dict[str, object] = field(default_factory=dict)  # of keys of ours it does not state, as they are there
    translated: list[str] = field(default_factory=list)
    ignored: dict[str, list[str]] = field(default_factory=dict)
    differs: list[str] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)
    findings: dict[str, str] = field(default_factory=dict)

    def __str__(self) -> str:
        stated = ", ".join(f"{key} = {value}" for key, value in self.defaults.items())
        head = f"{self.file} is an {self.project} config" + (f"; defaults as there: {stated}." if stated else ".")
        lines = [head if self.project else f"{self.file}:"]
        lines += [f"  translated  {line}" for line in self.translated]
        lines += [f"  ignored     {', '.join(keys)}: {reason}" for reason, keys in self.ignored.items()]
        lines += [f"  differs     {line}" for line in self.differs]
        lines += [f"  missing     {line}" for line in self.missing]
        return "\n".join(lines) if self.project or len(lines) > 1 else ""
