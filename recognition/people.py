"""Whose pictures a gallery is made of: folders of people, or a list of `path<TAB>name` lines."""

from dataclasses import dataclass
from pathlib import Path

from evaluation.make_bin import people_in
from evaluation.sources import read_lines
from utils.errors import UserError


@dataclass(frozen=True)
class Labeled:
    """A picture of somebody."""

    path: Path
    name: str
    where: str = ""  # "list.txt, line 3: ", for what is said about it


def labeled_pictures(source: Path) -> list[Labeled]:
    """Those in a folder that holds a folder for each person, or of a UTF-8 list, whose paths count from its folder.

    Raises UserError, with the number of the line, where there are none or a name cannot be used.
    """
    if source.is_dir():
        pictures = [Labeled(path, name) for name, paths in people_in(source).items() for path in paths]
    elif source.is_file():
        pictures = [_line(source, number, line) for number, line in read_lines(source)]
    else:
        raise UserError(f"there is neither a folder of people nor a list at {source}")
    if not pictures:
        raise UserError(f"{source} lists no pictures")
    for picture in pictures:
        try:
            picture.name.encode()
        except UnicodeEncodeError:
            raise UserError(f"the folder {picture.path.parent} has a name that is not UTF-8; rename it") from None
    return pictures


def _line(source: Path, number: int, line: str) -> Labeled:
    path, _, name = (part.strip() for part in line.partition("\t"))
    where = f"{source}, line {number}: "
    if not (path and name) or "\t" in name:
        raise UserError(f"{where}it is not a path, one tab and a name")
    return Labeled(source.parent / path, name, where)
