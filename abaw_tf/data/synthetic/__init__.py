"""A small, deterministic look-alike of Aff-Wild2, rendered from nothing, in the official layout.

The real Aff-Wild2 may not be passed on (its licence agreement covers derived data too), so everything in this toolkit must
also run on this stand-in. A performance is planned first (`scenario`): expressions in turn, valence and arousal drifting with
them. Each modality then shows its own imperfect view of that plan: face (`expressions`, `geometry`, `face`), posture and
scene (`body`, `scene`), voice (`sound`), words (`speech`). `build` writes the files; `sidecars` writes what OpenFace,
OpenPose and a speech recogniser would have written. `faces` renders single images in the layouts of RAF-DB and AffectNet.
"""

from abaw_tf.data.synthetic.build import make_synthetic
from abaw_tf.data.synthetic.faces import make_synthetic_faces

__all__ = ["make_synthetic", "make_synthetic_faces"]
