"""Metadata and dependencies of abaw_tf. Tool settings (ruff, pytest) are in pyproject.toml."""

import re
from pathlib import Path

from setuptools import find_packages, setup

HERE = Path(__file__).parent
VERSION = re.search(r'^__version__ = "(.+)"', (HERE / "abaw_tf/__init__.py").read_text(), re.M)[1]

REQUIREMENTS = [
    "tensorflow>=2.16",
    "keras>=3.12",  # 3.10 does not find the metrics of a single output by its name
    "numpy>=1.26",
    "scipy>=1.11",
    "pandas>=2.1",
    "pyarrow>=14",
    "scikit-learn>=1.4",
    "h5py>=3.10",
    "numba>=0.59",
    "librosa>=0.10.2",
    "soundfile>=0.12",
    "soxr>=0.3.7",
    "av>=17.1,<19",  # 19 takes away `metadata_errors`; older ones were not tested
    "opencv-python-headless>=4.9",
    "mtcnn>=1.0",
    "matplotlib>=3.8",
    "lazy_loader>=0.4",
    "pyyaml>=6",
    "tqdm>=4.66",
    "tyro>=1.0.10",  # 1.0.3 takes class variables for fields under Python 3.10
]

VGGFACE = ["keras-vggface>=0.6", "keras-applications>=1.0.8", "tf-keras>=2.16"]
NOTEBOOKS = ["ipykernel>=6.29", "nbclient>=0.10", "ipywidgets>=8.1", "jupyterlab>=4"]

EXTRAS = {
    # tensorflow-io 0.37.1 is compiled against TensorFlow 2.16 and NumPy 1; there is no wheel for Python 3.13.
    # pyarrow 26 refuses NumPy 1 when imported, although its metadata does not say so.
    "io": ["tensorflow-io[tensorflow]==0.37.1", "numpy<2", "pyarrow>=14,<26", "opencv-python-headless>=4.9,<4.12"],
    "vggface": VGGFACE,
    "notebooks": NOTEBOOKS,
    "jax": ["jax>=0.4.30"],
    "export": ["onnx>=1.16", "tf2onnx>=1.16", "onnxruntime>=1.17"],
    # The originals of CNN14, as oracles; without them their tests are skipped.
    "parity": ["torch==2.13.0", "torchlibrosa==0.1.0", "panns-inference==0.1.1"],
    "test": [
        "pytest>=8",
        "pytest-xdist>=3.8",
        "hypothesis>=6.100",
        "nbmake>=1.5",
        "ipykernel>=6.29",
        "ipywidgets>=8.1",
        "ruff>=0.6",
        "audmetric>=1.2",
        "scikit-learn>=1.6",  # whose checks of estimators name those that are expected to fail
        *VGGFACE,
    ],
}

setup(
    name="abaw_tf",
    version=VERSION,
    description="Affective behaviour analysis in the wild (Aff-Wild2) with Keras and TensorFlow: five published systems, runnable",
    long_description=(HERE / "README.md").read_text(encoding="utf-8"),
    long_description_content_type="text/markdown",
    license="Apache-2.0",
    python_requires=">=3.10,<3.14",
    packages=find_packages(include=["abaw_tf", "abaw_tf.*"]),
    install_requires=REQUIREMENTS,
    extras_require=EXTRAS,
    classifiers=[
        "Development Status :: 3 - Alpha",
        "Intended Audience :: Science/Research",
        "Programming Language :: Python :: 3.10",
        "Programming Language :: Python :: 3.11",
        "Programming Language :: Python :: 3.12",
        "Programming Language :: Python :: 3.13",
        "Topic :: Scientific/Engineering :: Artificial Intelligence",
    ],
)
