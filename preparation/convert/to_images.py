"""MXNet recordio -> images in files of their own and `label.txt`, in the layout of PLSC's tool of that name.

https://github.com/PaddlePaddle/PLSC: images/00000001.jpg is the record 1, and its line is `images/00000001.jpg<TAB>0`.
PLSC's tool decodes and encodes again; here the bytes are the record's.
"""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np

from preparation.convert.plan import SKIPPED_NAME, skipped_lines
from preparation.sources.formats import LIST_NAME
from preparation.sources.recordio import RecordioSource
from preparation.sources.recordio_file import scan
from preparation.sources.source import DAMAGED, FAULTY_KINDS, companions
from utils.errors import UserError
from utils.folders import new_folder
from utils.progress import Bar

_FOLDER = "images"


def write_images(root: Path, output: Path, force: bool) -> tuple[int, int, int]:
    """Write each image of the set in `root` as a file named by its key, `label.txt`, and copy the verification sets.

    Damaged records, and those whose label is no integer from 0 on, are left out and listed in `skipped.csv`.

    Args:
        root: folder with train.rec, train.idx and property.
        output: folder to make, which appears whole or not at all.
        force: replace a folder with a label.txt.

    Returns:
        The images, the different labels among them, and the records left out.

    Raises:
        UserError: the set does not hang together or has no usable record, or the folder cannot be written.
    """
    source = RecordioSource(root)
    entries = source.images(_entries(source))
    labels = entries["label"]
    damaged = entries["kind"] == DAMAGED
    bad = damaged | ~((labels >= 0) & (labels == np.floor(labels)))
    reasons = np.where(damaged, FAULTY_KINDS[DAMAGED], "the label is not an integer from 0 on")
    skipped = list(zip(*(column[bad].tolist() for column in (entries["key"], labels, reasons)), strict=True))
    entries, labels = entries[~bad], labels[~bad]
    if not len(entries):
        raise UserError(f"{source.path} has no usable record.")
    with new_folder(output, [root], force, LIST_NAME) as folder:
        (folder / _FOLDER).mkdir()
        images = Bar(source.reader.read(entries), total=len(entries), desc="Writing", unit="images")
        with open(folder / LIST_NAME, "w") as listed:
            for key, label, image in zip(entries["key"], labels, images, strict=True):
                name = f"{_FOLDER}/{key:08d}.jpg"
                (folder / name).write_bytes(image)
                listed.write(f"{name}\t{int(label)}\n")
        if skipped:
            (folder / SKIPPED_NAME).write_bytes(skipped_lines(skipped))
        for path in companions(root):
            if path.name != "property":  # a list says itself how many identities it has
                shutil.copyfile(path, folder / path.name)
    return len(entries), len(np.unique(labels)), len(skipped)


def _entries(source: RecordioSource) -> np.ndarray:
    """Where each record lies, without a look at the images."""
    blocks, records = [], source.records()
    with Bar(total=len(records), desc="Reading", unit="records") as bar:
        for begin, _, entries, _ in scan(source.path, records):
            entries["offset"] += begin
            blocks.append(entries)
            bar.update(len(entries))
    return np.concatenate(blocks)
