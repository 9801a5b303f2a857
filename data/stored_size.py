"""The size of the images that a run's network takes."""

from pathlib import Path

from data.manifest import MANIFEST_NAME, Manifest
from utils.config.schema import SCHEMA
from utils.errors import UserError
from utils.pixels import USUAL_SIZE, size_words


def network_size(cfg) -> tuple[int, int]:
    """Height and width in pixels: `cfg.image_size`, or if it is None that of the images in `cfg.ofrecord_path`.

    It is 112x112 of synthetic images, and of a dataset that is not there, as on the machine where a run is planned. The
    loader asks for the dataset. Raises UserError for a dataset that is damaged, or whose images fit no network.
    """
    if cfg.image_size is not None:
        return cfg.image_size
    if cfg.synthetic or cfg.ofrecord_path is None or not (Path(cfg.ofrecord_path) / MANIFEST_NAME).exists():
        return USUAL_SIZE
    size, row = Manifest.load(cfg.ofrecord_path).image_size, SCHEMA["image_size"]
    if not row.check(size):
        raise UserError(
            f"The dataset in {cfg.ofrecord_path} holds {size_words(size)} images, which networks take scaled only; "
            f"set image_size, {row.allowed}."
        )
    return size
