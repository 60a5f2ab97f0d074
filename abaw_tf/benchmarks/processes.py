"""Measurements in a process of its own, for peak memory that is nobody else's."""

import json
import subprocess
import sys


def in_a_process(module, *arguments):
    """Run ``python -m module`` with the arguments as one JSON list; return what the last line that it prints says in JSON.

    Raises
    ------
    RuntimeError
        The process failed.
    """
    done = subprocess.run(
        [sys.executable, "-m", module, json.dumps(arguments)], capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise RuntimeError(f"the process that measures memory failed. Received: {done.stderr[-2000:]}")
    return json.loads(done.stdout.splitlines()[-1])


def peak_memory():
    """Peak resident memory of this process in MiB; getrusage would also count that of the process it was forked from."""
    with open("/proc/self/status", encoding="ascii") as status:
        (line,) = (line for line in status if line.startswith("VmHWM:"))
    return int(line.split()[1]) / 1024
