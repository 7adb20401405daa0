"""Importing `data` is cheap: nothing heavy, nothing of ours from outside, little processor time."""

from __future__ import annotations

import subprocess
import sys

PROGRAM = """
import sys, time
before = set(sys.modules)
start = time.process_time()
import data.preparation, data.receipt
seconds = time.process_time() - start
print(seconds)
print(*sorted({name.partition(".")[0] for name in set(sys.modules) - before}))
"""


def test_importing_data_takes_less_than_fifty_milliseconds_and_loads_no_other_package() -> None:
    outputs = [
        subprocess.run(
            [sys.executable, "-P", "-c", PROGRAM], capture_output=True, text=True, check=True, timeout=60
        ).stdout
        for _ in range(5)
    ]
    loaded = set(outputs[0].splitlines()[1].split())
    assert loaded <= set(sys.stdlib_module_names) | {"data"}
    assert min(float(output.splitlines()[0]) for output in outputs) < 0.05
