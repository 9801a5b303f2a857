"""An OFRecord set -> MXNet recordio as InsightFace's training reads it (`MXFaceDataset`)."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np

from preparation.convert.recordio_writer import RecordWriter
from preparation.record_sets import RecordSets
from preparation.sources.source import companions
from utils.errors import UserError
from utils.folders import new_folder
from utils.progress import Bar

EXACT = 1 << 24  # float32, the type of labels and keys in recordio, holds every integer up to here
_REC, _IDX, _PROPERTY = "train.rec", "train.idx", "property"


def write_recordio(source: Path, output: Path, force: bool) -> tuple[int, int]:
    """Write train.rec, train.idx and property, and copy the set's other files.

    Record 0 is the header, [first identity's key, end]. Images have the keys from 1 on, sorted by identity, and in the
    set's order within one. Then each identity, one without images too, has a record with [start, end) of its images'
    keys. JPEGs are not touched. In memory are 16 bytes per image.

    Args:
        source: folder of a finished set.
        output: folder to make, which appears whole or not at all.
        force: replace recordio that is there.

    Returns:
        The images and the identities written.

    Raises:
        UserError: the set is damaged, has more identities than recordio can tell apart, or cannot be written.
    """
    sets = RecordSets(source)
    num_classes, labels = sets.manifests[0].num_classes, sets.column("label")
    if num_classes > EXACT:
        raise UserError(
            f"{source} has {num_classes} identities, but labels are float32 in recordio, exact up to {EXACT}; keep it "
            "as OFRecord."
        )
    order = np.argsort(labels, kind="stable")
    labels, ends = labels[order], 1 + np.cumsum(np.bincount(labels, minlength=num_classes))
    first = len(order) + 1
    with new_folder(output, [source], force, _REC) as folder:
        with RecordWriter(folder / _REC, folder / _IDX) as writer:
            writer.add(0, [first, first + num_classes])
            images = Bar(sets.images(order), total=len(order), desc="Writing", unit="records")
            for key, (image, label) in enumerate(zip(images, labels, strict=True), 1):
                writer.add(key, float(label), image)
            for identity, end in enumerate(ends.tolist()):
                writer.add(first + identity, [int(ends[identity - 1]) if identity else 1, end])
        for path in companions(source):
            shutil.copyfile(path, folder / path.name)
        (folder / _PROPERTY).write_text("{},{},{}\n".format(num_classes, *sets.image_size))
    return len(order), num_classes
