"""All that is not who it is: what changes from one picture of a person to the next."""

from dataclasses import dataclass, replace

import numpy as np

from data.drawn.geometry import SIZE, View

PATCH_LEAST, PATCH_MORE = 8.0, 14.0  # half an edge of a patch in crop pixels: the least, and what its size adds
OCCLUSIONS = ("patch", "sunglasses", "mask", "hand", "cap")


@dataclass(frozen=True)
class Level:
    """How much changes between pictures: pose is a factor of all angles and shifts, occlusion a probability, and so is
    low_quality, that of a picture that is hard to recognize: far out of focus, of few pixels, or largely covered.
    """

    pose: float
    light: float
    blur: float
    occlusion: float
    low_quality: float = 0.0


USUAL = Level(pose=1.0, light=1.0, blur=1.0, occlusion=0.15)
HARD = Level(pose=1.6, light=1.2, blur=1.4, occlusion=0.5)


@dataclass(frozen=True, eq=False)
class Nuisance:
    """The circumstances of one picture."""

    view: View
    # expression
    mouth_open: float  # crop pixels
    smile: float  # rise of the mouth's corners, crop pixels
    brow_raise: float  # crop pixels
    eye_open: float  # factor of the eye's height
    gaze: tuple[float, float]  # crop pixels
    # light
    light: tuple[float, float]  # where it comes from: direction times strength
    gain: np.ndarray  # (3,): brightness and color cast
    contrast: float  # factor around the middle gray
    saturation: float
    gamma: float
    # surroundings
    background: np.ndarray  # (3, 3, 3): coarse RGB grid, 0..255
    shirt: np.ndarray  # (3,) RGB
    occlusion: str | None
    occluder: np.ndarray  # (6,): where and how large, each in [0, 1)
    occluder_color: np.ndarray  # (3,) RGB
    # camera
    blur: float  # sigma in crop pixels
    side: int  # pixels from edge to edge that the camera saw, enlarged to the crop
    noise: float  # largest deviation, gray levels
    noise_pixels: np.ndarray  # (112, 112) uint8
    quality: int  # of the JPEG

    @classmethod
    def draw(cls, rng: np.random.Generator, level: Level) -> "Nuisance":
        """A random picture's circumstances at this level."""

        def normal(spread: float) -> float:
            return float(rng.normal(0.0, spread))

        pose, light = level.pose, level.light
        angle = rng.uniform(0, 2 * np.pi)
        strength = rng.uniform(0, 0.65) * light
        usual = cls(
            view=View(
                yaw=pose * float(rng.uniform(-0.36, 0.36)),
                pitch=pose * float(rng.uniform(-0.22, 0.22)),
                roll=pose * normal(0.06),
                shift=(pose * normal(1.8), pose * normal(1.8)),
                zoom=float(np.exp(pose * normal(0.04))),
            ),
            mouth_open=max(0.0, normal(3.0)),
            smile=normal(1.6),
            brow_raise=normal(1.0),
            eye_open=float(np.clip(1.0 + normal(0.2), 0.35, 1.3)),
            gaze=(normal(1.2), normal(0.5)),
            light=(strength * float(np.cos(angle)), strength * float(np.sin(angle))),
            gain=np.exp((normal(0.24) - 0.05) * light + rng.normal(0.0, 0.1 * light, 3)),
            contrast=float(np.exp(normal(0.2) * light)),
            saturation=float(rng.uniform(0.35, 1.25)),
            gamma=float(np.exp(normal(0.18) * light)),
            background=rng.uniform(0, 150, (3, 3, 3)) + rng.uniform(0, 105, (3, 3, 1)),
            shirt=rng.uniform(0, 255, 3),
            occlusion=str(rng.choice(OCCLUSIONS)) if rng.random() < level.occlusion else None,
            occluder=rng.random(6),
            occluder_color=rng.uniform(0, 255, 3),
            blur=float(abs(normal(0.7)) * level.blur),
            side=SIZE,
            noise=float(rng.uniform(0, 20)),
            noise_pixels=rng.integers(0, 256, (112, 112), np.uint8),
            quality=int(rng.integers(40, 96)),
        )
        # Drawn last, so that a level without such pictures leaves all others as they are.
        return usual._spoiled(rng) if level.low_quality and rng.random() < level.low_quality else usual

    def _spoiled(self, rng: np.random.Generator) -> "Nuisance":
        """One of three: a blur of 2 to 7 pixels, 10 to 36 pixels to a side, or a patch of 28 to 56 over the face."""
        kind, strength = rng.integers(3), float(rng.random())
        if kind == 0:
            return replace(self, blur=2.0 + 5.0 * strength)
        if kind == 1:
            return replace(self, side=round(36 - 26 * strength))
        return self.covered(14.0 + 14.0 * strength)

    def covered(self, half: float) -> "Nuisance":
        """The same with a patch over the face: `half` of its edge in crop pixels, within 14 of the face's middle."""
        place = self.occluder.copy()
        place[0], place[1] = 0.325 + 0.35 * place[0], 0.4 + 0.31 * place[1]
        place[2:4] = (half - PATCH_LEAST) / PATCH_MORE
        return replace(self, occlusion="patch", occluder=place)
