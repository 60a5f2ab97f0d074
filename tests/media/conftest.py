"""Reads the numbers that the counting videos show."""

import cv2
import numpy as np
import pytest

# The digits 0-9 of OpenCV 4's Hershey "complex" font, 16 x 18 bits, one hex word per row: nothing here comes from the videos.
DIGITS = [
    "07e00c30181818181818300c300c300c300c300c300c300c300c1818181818180c3007e0",
    "0080018007800d8001800180018001800180018001800180018001800180018001800ff0",
    "0ff018383018300c380c100c0018003800e001c0060008001000100430043e0c23f820f8",
    "0ff018383018301838181018001801f0003000180008000c100c380c300c301818380ff0",
    "0020006000e000e0016002600660046008601860106020607ffe006000600060006001f8",
    "0ff01fc010001000100010003fe0303020180008000c000c100c380c3018301818300fe0",
    "03f006180c18181818181000308037f03c383818300c300c300c300c181818180c3007e0",
    "2f043f8c30fc20042008200800100030006000c000c00180018001800180018001800180",
    "0ff01c38181818181818181818180ff01c381818300c300c300c300c300c38181c380ff0",
    "07e00c3018181818300c300c300c300c181c1c3c0fec010c001818181818183018600fc0",
]
TEMPLATES = np.array([list(f"{int(digit, 16):0288b}") for digit in DIGITS]).astype(float)


def drawn_number(image) -> int:
    """The number that a frame of the counting videos shows, by correlation with the font's digits."""
    grey = cv2.resize(image, (640, 320), interpolation=cv2.INTER_AREA).min(axis=2)
    white = (grey >= 225).astype(np.float32)
    templates = TEMPLATES - TEMPLATES.mean(1, keepdims=True)
    templates = templates / np.linalg.norm(templates, axis=1, keepdims=True)
    best = (-1.0, "")
    # Numbers are centred; one and two digits are drawn larger than three.
    for n, (left, width, top, bottom) in {
        1: (192, 256, 25, 297),
        2: (62, 256, 25, 297),
        3: (128, 128, 92, 230),
    }.items():
        scores, digits = 0.0, ""
        for k in range(n):
            cell = white[top:bottom, left + k * width : left + (k + 1) * width]
            cell = cv2.resize(cell, (16, 18), interpolation=cv2.INTER_AREA).ravel()
            cell = cell - cell.mean()
            match = templates @ cell / (np.linalg.norm(cell) + 1e-9)
            digits += str(match.argmax())
            scores += match.max()
        best = max(best, (scores / n, digits))
    return int(best[1])


@pytest.fixture(scope="session", name="drawn_number")
def _drawn_number():
    """The function `drawn_number`."""
    return drawn_number
