"""Who appears in the synthetic videos: looks, voice, habits and the conditions each person is filmed under."""

from dataclasses import dataclass

import numpy as np

from abaw_tf.data.synthetic.geometry import ACTION_UNITS, neutral_landmarks

SKINS = (
    (255, 224, 196),
    (247, 208, 176),
    (236, 188, 150),
    (214, 160, 120),
    (178, 124, 86),
    (140, 92, 62),
    (104, 68, 48),
)
HAIRS = ((38, 30, 28), (66, 44, 32), (104, 68, 42), (156, 108, 62), (206, 168, 104), (150, 70, 40), (150, 148, 146))
EYES = ((84, 54, 34), (70, 92, 60), (72, 110, 150), (104, 82, 52), (58, 76, 90))
CLOTHES = (
    (52, 74, 110),
    (120, 48, 56),
    (60, 96, 80),
    (200, 190, 172),
    (58, 56, 66),
    (176, 122, 60),
    (108, 86, 130),
    (150, 160, 176),
)
HAIRCUTS = ("short", "side", "long", "bob", "curly", "bald", "receding", "bun")


@dataclass(frozen=True)
class Subject:
    """One person. Colours are RGB in 0-255; geometry is in the units of `geometry`."""

    skin: tuple
    hair: tuple
    eyes: tuple
    lips: tuple
    clothes: tuple
    haircut: str
    beard: str  # "", "stubble", "full" or "moustache"
    glasses: str  # "", "round" or "square"
    hat: str  # "", "beanie" or "cap"
    earrings: bool
    wrinkles: float  # how deep the lines are that expressions draw, 0.4-1
    brow_width: float
    shape: np.ndarray  # (68, 3) expressionless landmarks
    size: float  # half face width as a fraction of the picture's height
    resting: np.ndarray  # (17,) action units at rest: the corners of some mouths hang by nature
    gains: np.ndarray  # (17,) how strongly each action unit shows in this person
    light: np.ndarray  # (3,) direction towards the light
    ambient: float
    tint: np.ndarray  # (3,) colour of the light
    gain: float
    noise: float  # standard deviation of the sensor noise, grey levels
    blur: float  # standard deviation of the blur, pixels
    pitch: float  # Hz, resting fundamental frequency of the voice
    tract: float  # vocal-tract factor on the formants


def make_subject(rng: np.random.Generator) -> Subject:
    """Draw a person; the same generator state gives the same person."""
    female = rng.random() < 0.5
    skin = np.array(SKINS[rng.integers(len(SKINS))], dtype=float) * rng.normal(1, 0.03)
    hair_index = rng.integers(len(HAIRS) if skin[0] > 190 else 3)
    haircut = rng.choice(("long", "bob", "curly", "bun", "side") if female else HAIRCUTS[:2] + HAIRCUTS[4:7])
    beard = "" if female else rng.choice(("", "", "stubble", "full", "moustache"))
    lips = 0.62 * skin + 0.38 * np.array(
        (190, 70, 80) if not female else rng.choice([(200, 60, 80), (170, 50, 70), (214, 96, 100)])
    )
    shape, resting = _draw_shape(rng, female), _draw_resting(rng)
    angle = rng.uniform(-1.1, 1.1)
    return Subject(
        skin=tuple(np.clip(skin, 0, 255)),
        hair=HAIRS[hair_index],
        eyes=EYES[rng.integers(len(EYES)) if skin[0] > 190 else 0],
        lips=tuple(lips),
        clothes=CLOTHES[rng.integers(len(CLOTHES))],
        haircut=str(haircut),
        beard=str(beard),
        glasses=str(rng.choice(("", "", "", "", "", "round", "square"))),
        hat=str(rng.choice(("", "", "", "", "", "beanie", "cap"))),
        earrings=bool(female and rng.random() < 0.5),
        wrinkles=rng.uniform(0.4, 1.0),
        brow_width=rng.uniform(0.045, 0.065) if female else rng.uniform(0.065, 0.095),
        shape=shape,
        size=rng.uniform(0.19, 0.215),
        resting=resting,
        gains=np.clip(rng.normal(0.92, 0.2, len(ACTION_UNITS)), 0.45, 1.3),
        light=np.array([np.sin(angle), rng.uniform(-0.7, 0.0), 0.9]),
        ambient=rng.uniform(0.5, 0.75),
        tint=1 + rng.normal(0, 0.05) * np.array([1.0, 0.1, -1.0]),
        gain=rng.uniform(0.85, 1.12),
        noise=rng.uniform(0.8, 3.5),
        blur=rng.uniform(0.0, 0.8),
        pitch=rng.uniform(170, 230) if female else rng.uniform(95, 145),
        tract=rng.uniform(1.08, 1.2) if female else rng.uniform(0.94, 1.04),
    )


def _draw_shape(rng, female):
    """Expressionless landmarks, (68, 3): those of everybody with this person's proportions."""
    shape = neutral_landmarks().copy()
    width, height, jaw = rng.normal(1, 0.03), rng.normal(1, 0.04), rng.normal(0, 0.05)
    low = np.clip(shape[:17, 1] / 1.2, 0, 1)
    shape[:17, 0] *= 1 + jaw * low * (1 - low) * 4 - (0.04 if female else 0)
    shape[17:27, 1] += rng.normal(0, 0.025)
    shape[27:36, 1] = shape[27, 1] + (shape[27:36, 1] - shape[27, 1]) * rng.normal(1, 0.06)
    shape[31:36, 0] *= rng.normal(1, 0.12)
    centre = shape[48:68].mean(0)
    shape[48:68] = centre + (shape[48:68] - centre) * np.array([rng.normal(1, 0.07), rng.normal(1.05, 0.15), 1])
    shape[36:48, 1] = -0.145 + (shape[36:48, 1] + 0.145) * rng.normal(1, 0.08)
    shape[:, 0] *= width
    shape[:, 1] *= height
    return shape


def _draw_resting(rng):
    """Action units at rest, (17,)."""
    resting = np.zeros(len(ACTION_UNITS))
    for unit, spread in (
        ("AU04", 0.15),
        ("AU15", 0.18),
        ("AU12", 0.12),
        ("AU01", 0.14),
        ("AU07", 0.2),
        ("AU25", 0.06),
        ("AU02", 0.1),
    ):
        resting[ACTION_UNITS.index(unit)] = max(0.0, rng.normal(0, spread))
    return resting
