"""Who it is: the parameters that stay the same in every picture of a person."""

from dataclasses import dataclass

import numpy as np

# RGB, from which tones are mixed. Skin runs from light to dark.
_SKIN = np.array(
    [[250, 220, 198], [238, 196, 164], [220, 170, 130], [188, 134, 96], [146, 98, 68], [98, 64, 46]], float
)
_HAIR = np.array(
    [
        [26, 22, 22],
        [58, 38, 28],
        [104, 68, 40],
        [158, 114, 64],
        [214, 178, 112],
        [156, 66, 30],
        [150, 148, 148],
        [222, 220, 216],
    ],
    float,
)
_HAIR_SHARE = [0.22, 0.2, 0.16, 0.12, 0.1, 0.08, 0.07, 0.05]
_IRIS = np.array([[58, 36, 22], [104, 68, 34], [120, 118, 60], [70, 122, 84], [72, 118, 172], [120, 134, 146]], float)
_FRAME = np.array([[24, 24, 26], [96, 54, 28], [150, 30, 34], [176, 178, 184], [190, 150, 60]], float)

HAIR_STYLES = ("bald", "buzz", "short", "parted", "fringe", "curly", "long", "long_fringe", "receding")
BEARDS = ("none", "stubble", "moustache", "goatee", "full")


def _jitter(rng: np.random.Generator, color: np.ndarray, spread: float) -> np.ndarray:
    return np.clip(color * np.exp(rng.normal(0.0, spread, 3)), 4, 252)


@dataclass(frozen=True, eq=False)
class Identity:
    """One person. Lengths in crop pixels of the face frame (data/drawn/geometry.py), colors (3,) RGB 0..255."""

    # outline: half widths from top to bottom, and where the chin ends
    forehead: float
    cheek: float
    jaw: float
    chin: float
    chin_y: float
    ear: float
    # eyes and brows
    eye_x: float
    eye_y: float
    eye_width: float  # half
    eye_height: float  # half
    eye_slant: float  # rise per length towards the temple
    brow_gap: float
    brow_thickness: float
    brow_arch: float
    brow_slant: float
    brow_length: float
    # nose and mouth
    nose_y: float
    nose_width: float  # half
    nose_bridge: float  # half
    mouth_y: float
    mouth_width: float  # half
    upper_lip: float
    lower_lip: float
    # tones
    skin: np.ndarray
    hair: np.ndarray
    brow: np.ndarray
    iris: np.ndarray
    lip: np.ndarray
    blush: float  # redness of the cheeks
    sockets: float  # darkness around the eyes
    # hair
    hair_style: str
    hairline: float  # height of the hairline (y)
    parting: float  # -1 (left) to 1 (right)
    volume: float
    beard: str
    # marks
    moles: np.ndarray  # (n, 3): x, y, radius
    freckles: np.ndarray  # (n, 2)
    scar: np.ndarray | None  # (2, 2): its ends
    glasses: np.ndarray | None  # (5,): half width, half height, RGB of the frame

    @classmethod
    def draw(cls, seed: int, identity: int) -> "Identity":
        """The person number `identity` of the world `seed`; depends on nothing else."""
        # Pictures take [seed, identity, 1 + image], so this stream is apart from theirs.
        rng = np.random.default_rng([seed, identity, 0])

        def between(low: float, high: float) -> float:
            return float(rng.uniform(low, high))

        tone = between(0, len(_SKIN) - 1.001)
        skin = _jitter(rng, _SKIN[int(tone)] + (tone % 1) * (_SKIN[int(tone) + 1] - _SKIN[int(tone)]), 0.05)
        hair = _jitter(rng, _HAIR[rng.choice(len(_HAIR), p=_HAIR_SHARE)], 0.07)
        cheek = between(32, 41)
        style = str(rng.choice(HAIR_STYLES, p=[0.08, 0.1, 0.15, 0.15, 0.12, 0.12, 0.12, 0.1, 0.06]))
        long_hair = style.startswith("long")
        return cls(
            forehead=cheek * between(0.8, 1.0),
            cheek=cheek,
            jaw=cheek * between(0.68, 0.98),
            chin=between(8, 20),
            chin_y=between(33, 42),
            ear=between(3.5, 7.5),
            eye_x=between(14.5, 19.5),
            eye_y=between(-22.5, -17.5),
            eye_width=between(5.6, 8.8),
            eye_height=between(2.2, 5.2),
            eye_slant=between(-0.2, 0.28),
            brow_gap=between(5.5, 12.0),
            brow_thickness=between(0.8, 3.6),
            brow_arch=between(0.0, 4.0),
            brow_slant=between(-0.2, 0.22),
            brow_length=between(7.5, 11.0),
            nose_y=between(-2.0, 6.5),
            nose_width=between(4.6, 9.6),
            nose_bridge=between(2.0, 4.2),
            mouth_y=between(17.0, 24.0),
            mouth_width=between(9.0, 18.0),
            upper_lip=between(1.2, 4.2),
            lower_lip=between(1.8, 5.6),
            skin=skin,
            hair=hair,
            brow=_jitter(rng, 0.75 * hair + 0.25 * np.array([40.0, 30.0, 26.0]), 0.1),
            iris=_jitter(rng, _IRIS[rng.integers(len(_IRIS))], 0.1),
            lip=_jitter(rng, skin * 0.5 + np.array([150.0, 55.0, 60.0]) * between(0.25, 0.6), 0.06),
            blush=between(0.0, 0.22),
            sockets=between(0.05, 0.32),
            hair_style=style,
            hairline=between(-52, -40),
            parting=between(-1, 1),
            volume=between(2.0, 10.0),
            beard=str(
                rng.choice(BEARDS, p=[0.96, 0.01, 0.01, 0.01, 0.01] if long_hair else [0.4, 0.15, 0.15, 0.15, 0.15])
            ),
            moles=np.stack([rng.uniform(-26, 26, 3), rng.uniform(-34, 30, 3), rng.uniform(0.8, 1.7, 3)], 1)[
                : rng.choice(4, p=[0.4, 0.3, 0.2, 0.1])
            ],
            freckles=rng.normal(0, 1, (16, 2)) * (14, 5) + (0, -5) if rng.random() < 0.2 else np.empty((0, 2)),
            scar=(rng.uniform(-24, 24, 2) + rng.uniform(-5, 5, (2, 2))) if rng.random() < 0.12 else None,
            glasses=np.append([between(8.5, 12), between(6, 10)], _FRAME[rng.integers(5)])
            if rng.random() < 0.2
            else None,
        )
