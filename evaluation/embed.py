"""The embedding pass: the images of a source and their mirror images through a model, the work shared between ranks."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Protocol

import numpy as np

from evaluation.bin_set import BinSet
from evaluation.embedding_file import EmbeddingFile
from evaluation.loader import THREADS, decoded
from evaluation.sources import ImageSource
from evaluation.verification import FOLDS, VerificationResult, judge
from utils.errors import UserError
from utils.progress import Bar

_CHECKED = 256  # images decoded at a time when a set is looked through

Embed = Callable[[np.ndarray], np.ndarray]
Gather = Callable[[np.ndarray, list[int]], np.ndarray]
Batches = Sequence[tuple[int, int]]


class SizedEmbed(Protocol):
    """An `Embed` that says how many numbers an embedding has."""

    @property
    def embedding_size(self) -> int: ...

    def __call__(self, images: np.ndarray, /) -> np.ndarray: ...


def embed(
    embedder: Embed,
    source: ImageSource,
    batch_size: int,
    flip: bool = True,
    rank: int = 0,
    ranks: int = 1,
    gather: Gather | None = None,
    threads: int = THREADS,
    show: bool = False,
) -> np.ndarray:
    """Embeddings of all images, [:, 0], and with `flip` of their mirror images, [:, 1]: (N, views, E) float32.

    embedder: images (n, H, W, 3) uint8 RGB -> (n, E). Each rank embeds a contiguous share, and
    `gather(rows, counts)` joins them on every rank (None: one rank); then it is a collective. threads: that decode
    ahead; show: a progress bar.

    Raises UserError where an image is bad.
    """
    bounds = [len(source) * r // ranks for r in range(ranks + 1)]
    batches = _cut(bounds[rank], bounds[rank + 1], batch_size)
    with _bar(show, batches) as bar:
        rows = list(_embed_batches(embedder, source, batches, flip, threads, bar))
        if not rows:  # more ranks than images
            rows = [row[:0] for row in _embed_batches(embedder, source, [(0, 1)], flip, threads, bar)]
    share = np.concatenate(rows)
    return gather(share, list(np.diff(bounds))) if gather else share


def embed_to_file(
    embedder: SizedEmbed,
    source: ImageSource,
    path: Path,
    about: Mapping[str, object],
    batch_size: int,
    flip: bool = True,
    rank: int = 0,
    ranks: int = 1,
    threads: int = THREADS,
    show: bool = False,
    dtype: str = "float32",
) -> bool:
    """What `embed` returns, as `dtype`, to `path` (.npy) with its .json; an interrupted pass goes on where it stopped.

    about: for the .json, such as {"source", "model", "digest"}; a pass goes on
    only with what it was begun with. Batches do not go beyond blocks of `evaluation.embedding_file.BLOCK` images. The
    ranks share a disk and need not run at the same time; True on the last one, or where all was there already.

    Raises UserError where an image is bad or its embedding NaN or infinite, or the files are of something else.
    """
    file = EmbeddingFile(path, (len(source), 2 if flip else 1, embedder.embedding_size), about, dtype)
    if file.whole:
        return True
    blocks = file.missing(rank, ranks)
    batches = [_cut(start, stop, batch_size) for start, stop in blocks]
    in_turn = [batch for block in batches for batch in block]
    with _bar(show, in_turn) as bar:
        rows = _embed_batches(embedder, source, in_turn, flip, threads, bar)
        for (start, _), block in zip(blocks, batches, strict=True):
            embeddings = np.concatenate(list(islice(rows, len(block))))
            _refuse_non_finite(embeddings, source, start)
            file.write(start, embeddings)
    return file.finish()


def load_bin_sets(names: list[str], folder: Path, rank: int = 0, ranks: int = 1) -> dict[str, BinSet]:
    """The named sets, `folder/NAME.bin`, every image decoded once (by one of the ranks) to see that it can be.

    Raises UserError where a set is missing, damaged or too small.
    """
    sets = {name: BinSet.load(folder / f"{name}.bin") for name in names}
    for images in sets.values():
        if len(images.issame) < FOLDS:
            raise UserError(f"{images.path} holds {len(images.issame)} pairs; {FOLDS} folds need at least {FOLDS}")
        for start in range(rank * _CHECKED, len(images), ranks * _CHECKED):
            images.decode(start, min(start + _CHECKED, len(images)))
    return sets


def verify_set(embedder: Embed, images: BinSet, batch_size: int, **shared) -> VerificationResult:
    """The InsightFace protocol on one set; `shared` as in `embed`."""
    embeddings = embed(embedder, images, batch_size, **shared)
    pairs = np.arange(len(images)).reshape(-1, 2)
    return judge(embeddings, pairs, images.issame, name=images.name).result


def describe(name: str, result: VerificationResult, step: int | None = None) -> list[str]:
    """The result as lines for a log, in InsightFace's words."""
    tag = f"[{name}]" if step is None else f"[{name}][{step}]"
    return [
        f"{tag}XNorm: {result.xnorm:.6f}",
        f"{tag}Accuracy-Flip: {result.accuracy:.5f}+-{result.std:.5f}",
        # Each fold at the threshold where the FAR of the others reaches it: a mean there is for any number of pairs.
        f"{tag}TAR@FAR<=1e-3: {result.tar:.5f}+-{result.tar_std:.5f}" + ("" if step else " (mean of the folds)"),
    ]


def _embed_batches(
    embedder: Embed, source: ImageSource, batches: Batches, flip: bool, threads: int, bar: Bar
) -> Iterator[np.ndarray]:
    """(n, views, E) for each batch."""
    for pixels in decoded(source, batches, threads):
        views = [embedder(pixels)]
        if flip:
            views.append(embedder(np.ascontiguousarray(pixels[:, :, ::-1])))
        yield np.stack(views, axis=1)
        bar.update(len(pixels))


def _cut(start: int, stop: int, batch_size: int) -> Batches:
    return [(first, min(first + batch_size, stop)) for first in range(start, stop, batch_size)]


def _bar(show: bool, batches: Batches) -> Bar:
    total = sum(stop - start for start, stop in batches)
    return Bar(total=total, desc="Embedding", unit="images", disable=None if show else True)


def _refuse_non_finite(embeddings: np.ndarray, source: ImageSource, start: int) -> None:
    bad = np.flatnonzero(~np.isfinite(embeddings).all(axis=(1, 2)))
    if bad.size:
        raise UserError(
            f"the model gives NaN or infinity for {source.name(start + int(bad[0]))}: its weights or running "
            "statistics have diverged, or its precision does not suffice"
        )
