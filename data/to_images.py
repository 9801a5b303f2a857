"""MXNet recordio -> images in files of their own and `label.txt`, in the layout of PLSC's tool of that name.

https://github.com/PaddlePaddle/PLSC: images/00000001.jpg is the record 1, and its line is `images/00000001.jpg<TAB>0`.
PLSC's tool decodes and encodes anew; here the bytes are the record's.
"""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
from tqdm import tqdm

from data.recordio import scan
from data.select_folder import new_folder
from data.sources.formats import LIST_NAME
from data.sources.recordio import RecordioSource
from data.sources.source import DAMAGED, companions
from utils.errors import UserError

_FOLDER = "images"


def write_images(root: Path, output: Path, force: bool) -> tuple[int, int]:
    """Write each image of the set in `root` as a file named by its key, `label.txt`, and copy the verification sets.

    Args:
        root: folder with train.rec, train.idx and property.
        output: folder to make, which appears whole or not at all.
        force: replace a folder with a label.txt.

    Returns:
        The images, and the different labels among them.

    Raises:
        UserError: the set is damaged, a label is no integer from 0 on, or the folder cannot be written.
    """
    source = RecordioSource(root)
    entries = source.images(_entries(source))
    labels = entries["label"]
    bad = np.flatnonzero((entries["kind"] == DAMAGED) | ~((labels >= 0) & (labels == np.floor(labels))))
    if len(bad):
        raise UserError(
            f"{source.path} cannot be written as images: record {entries['key'][bad[0]]} is damaged or has the label "
            f"{labels[bad[0]]:g}; tools/mx_recordio_2_ofrecord.py leaves such records out and lists them."
        )
    with new_folder(output, [root], force, LIST_NAME) as folder:
        (folder / _FOLDER).mkdir()
        images = tqdm(source.reader.read(entries), total=len(entries), desc="Writing", unit="image", smoothing=0)
        with open(folder / LIST_NAME, "w") as listed:
            for key, label, image in zip(entries["key"], labels, images, strict=True):
                name = f"{_FOLDER}/{key:08d}.jpg"
                (folder / name).write_bytes(image)
                listed.write(f"{name}\t{int(label)}\n")
        for path in companions(root):
            if path.name != "property":  # a list says itself how many identities it has
                shutil.copyfile(path, folder / path.name)
    return len(entries), len(np.unique(labels))


def _entries(source: RecordioSource) -> np.ndarray:
    """Where each record lies, without a look at the images."""
    found, records = [], source.records()
    with tqdm(total=len(records), desc="Reading", unit="rec", smoothing=0) as bar:
        for begin, _, entries, _ in scan(source.path, records):
            entries["offset"] += begin
            found.append(entries)
            bar.update(len(entries))
    return np.concatenate(found)
