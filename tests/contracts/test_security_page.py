"""SECURITY.md promises only what tests show: each promise names one, and each that is named exists."""

from __future__ import annotations

import ast
import re
from pathlib import Path

CHECKOUT = Path(__file__).parents[2]
PAGE = (CHECKOUT / "SECURITY.md").read_text(encoding="utf-8")
NAMED = re.compile(r"`(tests/[\w/]+\.py)::(\w+)`")


def test_every_test_that_the_page_names_exists() -> None:
    named = NAMED.findall(PAGE)
    assert len(named) > 20
    for path, test in named:
        tree = ast.parse((CHECKOUT / path).read_text())
        defined = {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}
        assert test in defined, f"{path} has no {test}"
        assert test.startswith("test_")


def test_every_promise_names_a_test() -> None:
    promised = PAGE.partition("<!-- promises -->")[2].partition("## What is not protected")[0]
    rows = [line for line in promised.splitlines() if line.startswith("| ") and not line.startswith("| promise |")]
    assert len(rows) > 15
    assert [row for row in rows if not NAMED.search(row)] == []


def test_the_page_names_no_address_to_write_to_that_nobody_reads() -> None:
    assert re.findall(r"[\w.+-]+@[\w-]+\.\w+", PAGE) == []
