"""The upper body: shoulders, arms and hands, as a drawing and as OpenPose's BODY_25 keypoints."""

import numpy as np

from abaw_tf.data.synthetic.geometry import smooth
from abaw_tf.data.synthetic.ink import disc, fill, shade, stroke

# OpenPose's order; only what a portrait can show is ever found.
KEYPOINTS = (
    "Nose", "Neck", "RShoulder", "RElbow", "RWrist", "LShoulder", "LElbow", "LWrist", "MidHip", "RHip", "RKnee", "RAnkle",
    "LHip", "LKnee", "LAnkle", "REye", "LEye", "REar", "LEar", "LBigToe", "LSmallToe", "LHeel", "RBigToe", "RSmallToe", "RHeel",
)  # fmt: skip


def joints(motion, row, scale, rest) -> dict[str, np.ndarray]:
    """Joints of the upper body in the picture.

    Parameters
    ----------
    motion : Motion
    row : int
        Frame.
    scale : float
        Pixels per face unit.
    rest : array (2,)
        Where the middle of the face is when the person sits still.

    Returns
    -------
    dict
        Name -> (x, y). "R" is the person's right, the left of the picture.
    """
    lean = 0.5 * motion.sway[row, 0]
    neck = np.array([lean * 0.6, 1.55 + motion.slump[row]])
    found = {"Neck": neck}
    for sign, name, hand in ((-1, "R", motion.hands[row, 0]), (1, "L", motion.hands[row, 1])):
        width = 1.72 - 0.30 * motion.slump[row] + motion.openness[row]
        drop = 0.30 + 0.5 * motion.slump[row] - motion.shoulders[row]
        shoulder = np.add(neck, (sign * width, drop))
        elbow = np.add(shoulder, (sign * (0.25 + 0.25 * hand), 1.75 - 0.45 * hand))
        # A resting forearm lies on the lap, out of the picture; a gesture lifts the hand towards the shoulder.
        wrist = np.add(elbow, (-sign * (0.65 - 0.35 * hand), 1.0 - 2.3 * hand))
        found |= {f"{name}Shoulder": shoulder, f"{name}Elbow": elbow, f"{name}Wrist": wrist}
    found["MidHip"] = np.add(neck, (0, 4.2))
    return {name: point * scale + rest for name, point in found.items()}


def draw_body(canvas, who, found, scale) -> None:
    """Torso and neck, behind the head."""
    neck, left, right = found["Neck"], found["RShoulder"], found["LShoulder"]
    bottom = canvas.shape[0] + scale
    throat = (
        np.array([(-0.42, -1.0), (-0.46, -0.25), (-0.85, 0.1), (0.85, 0.1), (0.46, -0.25), (0.42, -1.0)]) * scale + neck
    )
    torso = np.array(
        [
            (left[0] - 0.35 * scale, bottom),
            np.add(left, np.array([-0.33, 0.35]) * scale),
            np.add(left, np.array([0, -0.06]) * scale),
            *(np.array([(-0.7, 0.02), (0, 0.22), (0.7, 0.02)]) * scale + neck),
            np.add(right, np.array([0, -0.06]) * scale),
            np.add(right, np.array([0.33, 0.35]) * scale),
            (right[0] + 0.35 * scale, bottom),
        ]
    )
    shadow = shade(who.clothes, 0.72)
    fill(canvas, smooth(torso), who.clothes)
    for sign, shoulder in ((1, left), (-1, right)):
        crease = np.array([(0.22, 0.75), (0.16, 1.3), (0.2, 2.2)]) * (sign * scale, scale) + shoulder
        stroke(canvas, smooth(crease), shadow, 0.06 * scale, 0.8)
    fill(canvas, smooth(throat), shade(who.skin, 0.78))
    collar = np.array([(-0.82, 0.02), (-0.4, 0.32), (0, 0.42), (0.4, 0.32), (0.82, 0.02)]) * scale + neck
    stroke(canvas, smooth(collar), shadow, 0.13 * scale, 0.3)


def draw_arms(canvas, who, found, scale) -> None:
    """Arms and hands, before the body; what is below the picture is not drawn."""
    for name in ("R", "L"):
        shoulder, elbow, wrist = (found[name + joint] for joint in ("Shoulder", "Elbow", "Wrist"))
        if wrist[1] > canvas.shape[0] + 0.6 * scale:
            continue
        sleeve = shade(who.clothes, 0.86)
        stroke(canvas, np.stack([np.add(shoulder, (0, 0.2 * scale)), elbow]), sleeve, 0.62 * scale)
        disc(canvas, elbow, 0.31 * scale, sleeve)
        stroke(canvas, np.stack([elbow, wrist]), sleeve, 0.56 * scale)
        disc(canvas, wrist, 0.27 * scale, sleeve)
        direction = (wrist - elbow) / max(float(np.hypot(*(wrist - elbow))), 1e-6)
        across = np.array([-direction[1], direction[0]])
        skin, ink = shade(who.skin, 0.94), shade(who.skin, 0.68)
        palm = wrist + 0.36 * scale * direction
        for k in (-1.5, -0.5, 0.5, 1.5):
            start = palm + across * 0.11 * k * scale
            tip = start + (0.46 * direction + 0.05 * k * across) * scale
            stroke(canvas, np.array([start, tip]), ink, 0.15 * scale)
            stroke(canvas, np.array([start, tip]), skin, 0.115 * scale)
            disc(canvas, tip, 0.06 * scale, skin)
        disc(canvas, palm, 0.25 * scale, skin)


def keypoints(rng, found, marks, pose, size, covered) -> np.ndarray:
    """BODY_25 keypoints (25, 3) of x, y, confidence as OpenPose would report them: zeros for what it does not find.

    Parameters
    ----------
    found : dict
        From `joints`, in the same pixels as `size`.
    marks : array (68, 3)
        Facial landmarks in face units.
    pose : Pose
        Of the head, in the same pixels.
    size : (int, int)
        Width and height of the picture.
    covered : bool
        Whether a hand hides the face.
    """
    eyes = np.stack([marks[36:42].mean(0), marks[42:48].mean(0)])
    ears = pose(np.array([(-1.1, -0.05, -0.25), (1.1, -0.05, -0.25)]))
    face = pose(np.concatenate([marks[[30]], eyes]))
    where = dict(found) | {"Nose": face[0], "REye": face[1], "LEye": face[2], "REar": ears[0], "LEar": ears[1]}
    table = np.zeros((len(KEYPOINTS), 3))
    noise = rng.normal(0, 0.006 * size[1], (len(KEYPOINTS), 2))
    sure = np.clip(rng.normal(0.82, 0.07, len(KEYPOINTS)), 0.3, 0.98)
    lost = rng.random(len(KEYPOINTS)) < 0.015
    for row, name in enumerate(KEYPOINTS):
        point = where.get(name)
        if point is None or lost[row] or not (0 <= point[0] < size[0] and 0 <= point[1] < size[1]):
            continue
        hidden = 0.45 if covered and name in ("Nose", "REye", "LEye") else 1.0
        table[row] = (*np.clip(point + noise[row], 0, np.array(size) - 1), sure[row] * hidden)
    return table
