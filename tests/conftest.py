"""Fixtures shared by the tests: the real material and a small synthetic Aff-Wild2."""

import os
import random
import re
import sys
from pathlib import Path

import numpy as np
import pytest

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
os.environ.setdefault("MPLBACKEND", "Agg")

PROJECT = Path(__file__).resolve().parents[1]


def pytest_addoption(parser):
    parser.addoption(
        "--expected-skips",
        metavar="FILE",
        help="fail if a test is skipped for a reason that matches none of the regular expressions in FILE, one a line",
    )


def pytest_configure(config):
    file = config.getoption("--expected-skips")
    if file and not hasattr(config, "workerinput"):  # with several processes only the first one sees all reports
        config.pluginmanager.register(ExpectedSkips(Path(file).read_text(encoding="utf-8")))


class ExpectedSkips:
    """Fails a session in which tests were skipped for other than the expected reasons: their cover would be lost unseen."""

    def __init__(self, text):
        lines = [line.strip() for line in text.splitlines()]
        self.expected = [re.compile(line) for line in lines if line and not line.startswith("#")]
        self.unexpected = []

    def pytest_runtest_logreport(self, report):
        if report.skipped and not hasattr(report, "wasxfail"):
            reason = report.longrepr[2]
            if not any(pattern.search(reason) for pattern in self.expected):
                self.unexpected.append(f"{report.nodeid}: {reason}")

    pytest_collectreport = pytest_runtest_logreport

    def pytest_sessionfinish(self, session):
        if self.unexpected and session.exitstatus == pytest.ExitCode.OK:
            session.exitstatus = pytest.ExitCode.TESTS_FAILED

    def pytest_terminal_summary(self, terminalreporter):
        if self.unexpected:
            terminalreporter.section("skipped unexpectedly", red=True)
            terminalreporter.write_line("\n".join(self.unexpected))


@pytest.fixture(autouse=True)
def _seeded():
    """Every test begins with the same random state, so that none passes or fails by chance."""
    random.seed(0)
    np.random.seed(0)  # noqa: NPY002 (scikit-learn and Keras draw from it)
    if "keras" in sys.modules:
        sys.modules["keras"].utils.set_random_seed(0)


@pytest.fixture
def without_values():
    """Networks get shapes but no values: those of a published size take seconds to draw, and up to a gigabyte."""
    import keras

    with keras.StatelessScope(initialize_variables=False):
        yield


@pytest.fixture(scope="session")
def project() -> Path:
    """The project's root folder (where setup.py is)."""
    return PROJECT


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


@pytest.fixture(scope="session")
def many_faces(tmp_path_factory) -> Path:
    """Synthetic faces, enough to learn expressions from; rendered once for all processes of pytest-xdist."""
    from abaw_tf.data import make_synthetic_faces

    base = tmp_path_factory.getbasetemp()
    root = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "many_faces"
    return make_synthetic_faces(root, "affectnet_npy", n_train=300, n_validation=70, progress=False)
