"""Importing `data` is cheap: nothing heavy, nothing of ours from outside, little time of its own."""

from __future__ import annotations

import subprocess
import sys

WHAT_IS_LOADED = """
import sys
before = set(sys.modules)
import data.preparation, data.receipt
print(*sorted({name.partition(".")[0] for name in set(sys.modules) - before}))
"""
# The standard library's own share is loaded by every program of ours anyway.
TIME_OF_ITS_OWN = """
import csv, dataclasses, datetime, decimal, hashlib, io, itertools, json, pathlib, re, time, typing
start = time.process_time()
import data.preparation, data.receipt
print(time.process_time() - start)
"""


def output_of(program: str) -> str:
    return subprocess.run(
        [sys.executable, "-P", "-c", program], capture_output=True, text=True, check=True, timeout=60
    ).stdout


def test_importing_data_loads_no_package_but_the_standard_library() -> None:
    assert set(output_of(WHAT_IS_LOADED).split()) <= set(sys.stdlib_module_names) | {"data"}


def test_importing_data_takes_less_than_fifty_milliseconds_of_its_own() -> None:
    assert min(float(output_of(TIME_OF_ITS_OWN)) for _ in range(5)) < 0.05
