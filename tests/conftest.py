"""Fixtures shared by the tests: the real material and a small synthetic Aff-Wild2."""

import importlib.util
import os
import random
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
os.environ.setdefault("MPLBACKEND", "Agg")

PROJECT = Path(__file__).resolve().parents[1]


@pytest.fixture(autouse=True)
def _seeded():
    """Every test begins with the same random state, so that none passes or fails by chance."""
    random.seed(0)
    np.random.seed(0)  # noqa: NPY002 (scikit-learn and Keras draw from it)
    if "keras" in sys.modules:
        sys.modules["keras"].utils.set_random_seed(0)


@pytest.fixture(scope="session")
def project() -> Path:
    """The project's root folder (where setup.py is)."""
    return PROJECT


@pytest.fixture(scope="session")
def run_under_jax():
    """Runs a Python script with Keras on JAX; the test is skipped where JAX is not installed."""
    if importlib.util.find_spec("jax") is None:
        pytest.skip('JAX is not installed: pip install -e ".[jax]"')

    def run(script, *arguments):
        command = [sys.executable, str(script), *map(str, arguments)]
        environment = {**os.environ, "KERAS_BACKEND": "jax"}
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr[-3000:]

    return run


@pytest.fixture(scope="session")
def realdata() -> Path:
    """The folder with real faces, videos, speech and networks; the test is skipped where it is absent."""
    path = Path(os.environ.get("ABAW_TF_REALDATA", PROJECT.parent / "shared" / "realdata"))
    if not (path / "MANIFEST.md").is_file():
        pytest.skip(f"no real material at {path}: set ABAW_TF_REALDATA to the folder that holds MANIFEST.md")
    return path


@pytest.fixture(scope="session")
def synthetic_root(tmp_path_factory) -> Path:
    """A small synthetic Aff-Wild2 (edition abaw2), made once per test session."""
    from abaw_tf.data import make_synthetic

    return make_synthetic(
        tmp_path_factory.mktemp("synthetic") / "affwild2",
        n_train=4,
        n_validation=3,
        n_test=1,
        seconds=4.0,
        progress=False,
    )
