"""Importing the package, and asking a script for help, loads neither TensorFlow nor Keras."""

import subprocess
import sys

import pytest

HEAVY = {"tensorflow", "keras", "tf_keras"}
LIGHT_MODULES = [
    "labels",
    "metrics",
    "predictions",
    "evaluation",
    "fusion",
    "plots",
    "report",
    "media.video",
    "media.faces",
]
LIGHT_MODULES += ["data.annotations", "data.affwild2", "data.folds", "data.windows", "data.doctor", "features.store"]


def loaded_after(code: str) -> set[str]:
    """Top-level modules that a fresh interpreter holds after running `code`."""
    program = (
        f"import sys\ntry:\n    exec({code!r})\nexcept SystemExit as stop:\n    assert not stop.code, stop\n"
        "print(*{name.split('.')[0] for name in sys.modules})"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return set(done.stdout.splitlines()[-1].split())


def test_importing_the_package_loads_next_to_nothing():
    assert not loaded_after("import abaw_tf") & (HEAVY | {"pandas", "numpy", "sklearn", "matplotlib"})


def test_submodules_load_on_first_use():
    assert "numpy" in loaded_after("import abaw_tf; abaw_tf.metrics.ccc")


@pytest.mark.parametrize("module", LIGHT_MODULES)
def test_light_modules_do_not_load_tensorflow(module):
    assert not loaded_after(f"import importlib; importlib.import_module('abaw_tf.{module}')") & HEAVY


def test_every_script_answers_help_without_heavy_modules(project):
    scripts = sorted((project / "tools").glob("*.py"))
    assert {"evaluate.py", "search_fusion.py", "demo.py", "doctor.py"} <= {script.name for script in scripts}
    for script in scripts:
        code = f"import runpy; sys.argv = [{script.name!r}, '--help']; runpy.run_path({str(script)!r}, run_name='__main__')"
        assert not loaded_after(code) & HEAVY, script.name
