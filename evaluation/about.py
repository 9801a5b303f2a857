"""What an evaluation was of, in words for its page."""

from datetime import datetime

import numpy as np

from utils.pixels import size_words


def about_evaluation(data: str, image_size: tuple[int, int], embeddings: np.ndarray) -> dict[str, str]:
    """When, and on what. image_size: of the N images of the data; embeddings: (N, views, E) of them."""
    count, views, size = embeddings.shape
    return {
        "date": datetime.now().astimezone().strftime("%Y-%m-%d %H:%M %z"),
        "data": data,
        "images": f"{count:,} of {size_words(image_size)}",
        "embeddings": f"{size} numbers, {'of each image and its mirror image' if views == 2 else 'of each image'}",
    }
