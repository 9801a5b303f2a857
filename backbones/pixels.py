"""Bytes to a network's numbers, on its device."""

import oneflow as flow
from oneflow import nn

from utils.pixels import MEAN, STD


class Pixels(nn.Module):
    """Images (B, H, W, channels) uint8 -> (B, channels, H, W) float32, (x - MEAN) / STD.

    One operator mirrors, turns the layout and normalizes; it splits along the batch, S(0) to S(0).
    """

    def __init__(self, channels: int = 3, data_format: str = "NCHW") -> None:
        """data_format: "NCHW", or "NHWC" for (B, H, W, channels)."""
        super().__init__()
        self.normalize = nn.CropMirrorNormalize(
            color_space="RGB" if channels == 3 else "GRAY",
            mean=[MEAN] * channels,
            std=[STD] * channels,
            output_dtype=flow.float32,
        )
        self.normalize.output_layout = data_format  # which its constructor takes from the environment alone

    def forward(self, images: flow.Tensor, mirrored: flow.Tensor | None = None) -> flow.Tensor:
        """mirrored: (B,) int8, 1 for images to turn left to right."""
        return self.normalize(images, mirrored)
