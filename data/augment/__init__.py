"""Training images changed at random, as the field does for faces: framing, light, sharpness, compression, occlusion.

`operations` says what is done to an image, `choices` how strongly, `augmenter` to which images. A sample's pixels
depend on (seed, epoch, record) alone, whatever loads it and in whatever order.
"""

from data.augment.augmenter import Augmenter
from data.augment.choices import OPERATIONS
from data.augment.sheet import augmentation_sheet

__all__ = ["OPERATIONS", "Augmenter", "augmentation_sheet"]
