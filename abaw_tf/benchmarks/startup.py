"""Start-up of the package and of the scripts that must answer at once."""

import subprocess
import sys
import time
from pathlib import Path

from abaw_tf.benchmarks.results import Result

BAR = 1.0


def benchmark_startup(repeats=5):
    """Time new interpreters that import the package, or print the help of a script.

    Parameters
    ----------
    repeats : int
        The best turn counts; the first one also fills the disk cache.

    Returns
    -------
    list of Result
        Seconds, each with a bar of 1.
    """
    tools = Path(__file__).resolve().parents[2] / "tools"
    commands = {"import abaw_tf": ["-c", "import abaw_tf"]}
    for name in ("evaluate", "search_fusion"):
        commands[f"tools/{name}.py --help"] = [str(tools / f"{name}.py"), "--help"]
    results = []
    for what, command in commands.items():
        seconds = []
        for _ in range(repeats):
            start = time.perf_counter()
            subprocess.run([sys.executable, *command], check=True, capture_output=True)
            seconds.append(time.perf_counter() - start)
        results.append(Result(what, min(seconds), "s", BAR, higher_is_better=False))
    return results
