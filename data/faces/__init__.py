"""Drawn faces: a small world of people with which the whole trainer can be tried where no photographs are at hand.

`Identity` is who it is, `Nuisance` all that is not (pose, light, expression, blur, occlusion, JPEG quality), `render`
draws the two as a 112x112 crop, and `make_demo_dataset` writes thousands of them as InsightFace would. A picture
depends on (seed, identity, image) alone, whatever draws it and in whatever order.
"""

from data.faces.dataset import DemoParameters, contact_sheet, make_demo_dataset
from data.faces.identity import Identity
from data.faces.nuisance import HARD, USUAL, Level, Nuisance
from data.faces.render import draw_face, encode_face, render

__all__ = [
    "HARD",
    "USUAL",
    "DemoParameters",
    "Identity",
    "Level",
    "Nuisance",
    "contact_sheet",
    "draw_face",
    "encode_face",
    "make_demo_dataset",
    "render",
]
