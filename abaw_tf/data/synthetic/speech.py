"""What is said, when: words whose choice leans on valence and arousal, and the syllables that a voice makes of them."""

from dataclasses import dataclass

import numpy as np

from abaw_tf.data.synthetic.scenario import CLOCK, Performance

FILLERS = (
    "well", "you", "know", "the", "thing", "is", "that", "we", "went", "there", "and", "then", "it", "was", "about",
    "people", "house", "time", "again", "because", "maybe", "something", "today", "they", "said", "after", "before",
)  # fmt: skip
# (sign of valence, sign of arousal) -> words
AFFECTIVE = {
    (1, 1): ("wonderful", "amazing", "love", "wow", "fantastic", "yes", "excited", "great", "laugh", "brilliant"),
    (1, -1): ("calm", "nice", "pleasant", "gentle", "fine", "peaceful", "thanks", "good", "cosy", "sweet"),
    (-1, 1): ("terrible", "hate", "angry", "no", "stop", "awful", "scared", "horrible", "never", "disgusting"),
    (-1, -1): ("sad", "lonely", "tired", "lost", "sorry", "miss", "alone", "gone", "empty", "cry"),
}
OUTBURSTS = {
    "Anger": ("furious", "enough"), "Disgust": ("disgusting", "yuck"), "Fear": ("scared", "help"), "Happiness": ("happy", "laugh"),
    "Sadness": ("sad", "cry"), "Surprise": ("wow", "really"), "Other": ("hmm", "perhaps"),
}  # fmt: skip
VOWELS = {
    "a": (730, 1150),
    "e": (530, 1840),
    "i": (330, 2200),
    "o": (560, 900),
    "u": (360, 950),
}  # first two formants, Hz


@dataclass(frozen=True)
class Word:
    """A spoken word as a recogniser heard it, in seconds; `spoken` is what was really said."""

    text: str
    start: float
    stop: float
    confidence: float
    spoken: str


def talk(rng, performance: Performance, duration, turns=None) -> list[Word]:
    """The words of one person.

    `turns` lists (start, stop) stretches in which this person has the word; all the time by default.
    """
    words, now = [], rng.uniform(0.1, 0.5)
    turns = turns or [(0.0, duration)]
    left = int(rng.integers(3, 8))
    while now < duration - 0.3:
        turn = next((t for t in turns if t[0] <= now < t[1] - 0.25), None)
        if turn is None:
            now = min((t[0] for t in turns if t[0] > now), default=duration) + 0.05
            continue
        valence, arousal = performance.at(performance.seen["words"], [now])[0]
        spoken = _choose(rng, performance, now, valence, arousal)
        length = (0.12 + 0.055 * len(spoken)) * (1.1 - 0.3 * arousal) * rng.uniform(0.9, 1.1)
        stop = min(now + length, turn[1], duration - 0.02)
        heard, sure = spoken, float(np.clip(rng.normal(0.9, 0.07), 0.4, 1))
        if rng.random() < 0.06:
            heard, sure = str(rng.choice(FILLERS)), float(rng.uniform(0.3, 0.6))
        words.append(Word(heard, round(now, 3), round(stop, 3), round(sure, 3), spoken))
        left -= 1
        pause = 0.03 if left else rng.uniform(0.3, 0.7) * (1.15 - 0.6 * arousal)
        left = left or int(rng.integers(3, 8))
        now = stop + pause
    return words


def _choose(rng, performance, now, valence, arousal) -> str:
    name = performance.classes[int(performance.class_at([now])[0])]
    draw = rng.random()
    if name in OUTBURSTS and draw < 0.14:
        return str(rng.choice(OUTBURSTS[name]))
    if draw < 0.14 + 0.7 * min(1.0, float(np.hypot(valence, arousal))):
        # The signs are drawn, the more surely the farther from zero.
        signs = [1 if rng.random() < 1 / (1 + np.exp(-5 * value)) else -1 for value in (valence, arousal)]
        return str(rng.choice(AFFECTIVE[tuple(signs)]))
    return str(rng.choice(FILLERS))


def syllables(word: Word) -> list[tuple[str, float, float]]:
    """The vowels of a word with their times; a word without vowels has one ``e``."""
    vowels = [letter for letter in word.spoken if letter in VOWELS] or ["e"]
    edges = np.linspace(word.start, word.stop, len(vowels) + 1)
    return [(v, float(a), float(b)) for v, a, b in zip(vowels, edges[:-1], edges[1:])]


def mouth_opening(words, n) -> np.ndarray:
    """How far speaking opens the mouth, 0-1, at `n` ticks of the scenario's clock."""
    clock, opening = np.arange(n) / CLOCK, np.zeros(n)
    width = {"a": 1.0, "o": 0.8, "e": 0.7, "u": 0.45, "i": 0.5}
    for word in words:
        for vowel, start, stop in syllables(word):
            inside = (clock >= start) & (clock < stop)
            opening[inside] = width[vowel] * np.sin(np.pi * (clock[inside] - start) / max(stop - start, 1e-3))
    return opening
