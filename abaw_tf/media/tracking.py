"""Following one person through the faces that a detector finds."""

import numpy as np

# How far a head moves while it is not seen, in face sizes per second.
MAX_SPEED = 1.0
PERSONS = ("largest", "left", "right")


class FaceFollower:
    """Chooses, frame after frame, the face of one person.

    The face is taken that continues the last one: the best overlap (intersection over union at least `min_overlap`); failing
    that the nearest one, if its centre has moved by at most `max_distance` of the last face's size (one size more per second
    since then) and its size has changed by less than a factor of two. Where no face does, the person is absent. After
    `restart_after` seconds of absence the choice is made afresh, and `track` grows by one.

    Parameters
    ----------
    person : {"largest", "left", "right"}
        Whom to choose at the beginning and after a long absence: the largest face, or, in a video with two people, the left or right one
        of the two largest faces. A single face counts as the left (right) person's where its centre is in that half of the picture.
    restart_after : float
        Seconds.
    min_overlap, max_distance : float
        See above.

    Attributes
    ----------
    track : int
        How often a choice was made afresh so far, minus one: faces with the same number are one uninterrupted pursuit. -1 before the first.
    """

    def __init__(
        self, person: str = "largest", restart_after: float = 1.0, min_overlap: float = 0.3, max_distance: float = 0.75
    ):
        if person not in PERSONS:
            raise ValueError(f"person must be one of {', '.join(PERSONS)}. Received: {person!r}")
        if restart_after < 0:
            raise ValueError(f"restart_after must not be negative. Received: {restart_after}")
        self.person, self.restart_after = person, restart_after
        self.min_overlap, self.max_distance = min_overlap, max_distance
        self.track = -1
        self._box = self._seen = None

    def __call__(self, faces, time: float, width: int):
        """Choose among the faces of the next frame.

        Parameters
        ----------
        faces : list of Face
        time : float
            Of the frame, in seconds.
        width : int
            Of the picture, in pixels.

        Returns
        -------
        Face or None
        """
        face = None
        if self._box is not None:
            face = self._continuation(faces, time - self._seen)
        if face is None and (self._box is None or time - self._seen > self.restart_after):
            face = self._choice(faces, width)
            self.track += face is not None
        if face is not None:
            self._box, self._seen = face.box, time
        return face

    def resume(self, box, time: float, track: int) -> None:
        """Continue a pursuit whose last face, at `time`, is known."""
        self._box, self._seen, self.track = np.asarray(box, np.float64), time, track

    def _continuation(self, faces, absence):
        if not faces:
            return None
        overlap = [box_overlap(face.box, self._box) for face in faces]
        best = int(np.argmax(overlap))
        if overlap[best] >= self.min_overlap:
            return faces[best]
        size = _size(self._box)
        distance = [np.hypot(*(_centre(face.box) - _centre(self._box))) / size for face in faces]
        near = int(np.argmin(distance))
        same_size = 0.5 <= _size(faces[near].box) / size <= 2.0
        reach = self.max_distance + MAX_SPEED * absence
        return faces[near] if distance[near] <= reach and same_size else None

    def _choice(self, faces, width):
        largest = sorted(faces, key=lambda face: _size(face.box), reverse=True)
        if not largest or self.person == "largest":
            return largest[0] if largest else None
        pair = sorted(largest[:2], key=lambda face: _centre(face.box)[0])
        if len(pair) == 2:
            return pair[0] if self.person == "left" else pair[1]
        side = "left" if _centre(pair[0].box)[0] < width / 2 else "right"
        return pair[0] if side == self.person else None


def box_overlap(a, b) -> float:
    """Intersection over union of two boxes."""
    sides = np.minimum(a[2:], b[2:]) - np.maximum(a[:2], b[:2])
    common = np.prod(np.maximum(sides, 0.0))
    return float(common / (np.prod(a[2:] - a[:2]) + np.prod(b[2:] - b[:2]) - common))


def _size(box) -> float:
    return float(np.sqrt(max(0.0, box[2] - box[0]) * max(0.0, box[3] - box[1])))


def _centre(box):
    return (box[:2] + box[2:]) / 2
