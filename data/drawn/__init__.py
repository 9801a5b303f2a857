"""Drawn faces: a small world of people with which the whole trainer can be tried where no photographs are at hand.

`Identity` is who it is, `Nuisance` all that is not (pose, light, expression, blur, occlusion, JPEG quality), and
`render` draws the two as a 112x112 crop. A picture depends on (seed, identity, image) alone, whatever draws it and in
whatever order.
"""

from data.drawn.identity import Identity
from data.drawn.nuisance import HARD, USUAL, Level, Nuisance
from data.drawn.render import draw_face, encode_face, render

__all__ = ["HARD", "USUAL", "Identity", "Level", "Nuisance", "draw_face", "encode_face", "render"]
