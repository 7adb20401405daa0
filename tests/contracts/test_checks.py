"""What every check of rows promises. Grows by itself: a new file in data/checks/ is tested here unasked."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from data.checking import check, check_names, flagged, repairs
from data.checks import all_checks
from data.conversation import single_turn
from data.findings import LEVELS
from data.loading import ReadRow, Rows
from data.looking import Block, Limits, Setup, TextLooking
from data.rows import Row
from tui_app.cli import main

CHECKS = sorted(all_checks())
OF_SINGLE_TEXTS = [name for name in CHECKS if "TextLooking" in vars(all_checks()[name])]
CLEAN = [
    {"prompt": f"How are {n} and {n + 1} added in Python?", "completion": f"Write `{n} + {n + 1}`; it is {2 * n + 1}."}
    for n in range(3)
]
FRAGMENTS = [
    *(
        "Hello there. ",
        "café – “yes” ",
        "你好",
        "</s>",
        "<|im_start|>",
        "[INST]",
        "### Response:",
        "\n",
        "&amp;",
        "<br>",
    ),
    *(
        "```<br>```",
        "all rights reserved",
        "\x00",
        "\x1b[31m",
        "\x85",
        "\u200b",
        "\u202e",
        "\ufeff",
        "\ufffd",
        "Ã©",
        "â€™",
    ),
    *("joe@gmail.com", "joe@example.com", "+44 20 7123 4567", "212-555-0143", "212.867.5309", "(212) 867-5309 "),
    *("4111 1111 1111 1111 ", "378282246310005 ", "91.198.174.192 ", "10.0.0.1 ", "3.14", "hf_" + "a" * 34 + " "),
    *(
        "ghp_" + "a" * 36 + " ",
        "AKIA" + "A" * 16 + " ",
        "sk-ant-" + "a" * 24,
        "xoxb-" + "1" * 12,
        "AIza" + "a" * 35 + " ",
    ),
    *("-----BEGIN PRIVATE KEY-----\n" + "M" * 64, "eyJ" + "a" * 20 + ".eyJ" + "a" * 20 + "." + "a" * 20),
    *("postgres://me:secret@host/db ", "https://host/path ", "sk-" + "a" * 48 + " ", "_live_", "npm_" + "a" * 36 + " "),
]


def rows_of(folder: Path, rows: Iterable[Row], name: str = "rows.jsonl") -> Rows:
    path = folder / name
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return Rows(str(path))


def found_in(rows: Rows, folder: Path, **options: Any) -> dict[str, int]:
    folder.mkdir()
    return {finding.check: finding.num_rows for finding in check(rows, work_dir=folder, **options).findings}


def suspect_rows(looking: TextLooking, texts: list[str]) -> list[int]:
    """The rows that a check finds in a block of these answers."""
    block = Block()
    for line, text in enumerate(texts, start=1):
        block.add(ReadRow(line, "rows.jsonl", line, {}, single_turn("Say it.", text, line), None))
    looking.look(block)
    return list(looking.finish()[0][0].rows)


@pytest.mark.parametrize("name", CHECKS)
def test_a_check_says_what_it_finds_and_why_it_matters(name: str) -> None:
    module = all_checks()[name]
    assert module.LEVEL in LEVELS
    assert module.TITLE[0].isupper()
    assert module.TITLE[-1] != "."
    assert module.MEANS.endswith(".") or module.LEVEL == "info"


@pytest.mark.parametrize("name", CHECKS)
def test_a_check_finds_its_example_and_nothing_in_clean_rows(name: str, tmp_path: Path) -> None:
    rows = rows_of(tmp_path, [*all_checks()[name].EXAMPLE, *CLEAN])
    assert found_in(rows, tmp_path / "work", others={"other": rows} if name == "contamination" else {})[name] >= 1
    if all_checks()[name].LEVEL != "info":
        assert name not in found_in(rows_of(tmp_path, CLEAN, "clean.jsonl"), tmp_path / "again")


@pytest.mark.parametrize("name", check_names())
def test_the_command_that_a_finding_names_mends_it(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "work").mkdir()
    Path("rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in [*all_checks()[name].EXAMPLE, *CLEAN]))
    report = check(Rows("rows.jsonl"), work_dir=tmp_path / "work")
    fix = next(finding.fix for finding in report.findings if finding.check == name)
    words = fix.split()
    assert words[0] == "finetui"
    assert main(words[1:]) == 0, capsys.readouterr().err
    assert name not in found_in(Rows("clean.jsonl"), tmp_path / "again")


@pytest.mark.parametrize("name", check_names())
def test_what_is_flagged_is_what_is_reported(name: str, tmp_path: Path) -> None:
    rows = rows_of(tmp_path, [*all_checks()[name].EXAMPLE, *CLEAN])
    (tmp_path / "flags").mkdir()
    flags = flagged(rows, [name], tmp_path / "flags")
    assert len(flags[name]) == sum(
        finding.num_rows for finding in check(rows, work_dir=_made(tmp_path / "work")).findings if finding.check == name
    )


@pytest.mark.parametrize("name", sorted(repairs()))
@given(text=st.lists(st.sampled_from(FRAGMENTS) | st.text(max_size=5), max_size=6).map("".join))
@settings(max_examples=60, deadline=None)
def test_a_repair_done_twice_is_a_repair_done_once_and_clean_text_stays(name: str, text: str) -> None:
    repaired = repairs()[name]
    if name != "mojibake":  # what was garbled twice is mended twice
        assert repaired(repaired(text)) == repaired(text)
    assert repaired("Crème brûlée – “ja”, 你好, 👩‍💻 🏴󠁧󠁢󠁥󠁮󠁧󠁿\n\tdone") == "Crème brûlée – “ja”, 你好, 👩‍💻 🏴󠁧󠁢󠁥󠁮󠁧󠁿\n\tdone"


@pytest.mark.parametrize("name", OF_SINGLE_TEXTS)
@given(texts=st.lists(st.lists(st.sampled_from(FRAGMENTS), min_size=1, max_size=4).map("".join), max_size=12))
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_the_quick_look_at_a_block_misses_no_row(
    name: str, texts: list[str], tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.getbasetemp()
    module = all_checks()[name]
    looking = module.start(Setup(Limits(), folder, ("rows.jsonl",)))
    assert isinstance(looking, TextLooking)
    wanted = [line for line, text in enumerate(texts, start=1) if set(looking._kinds_in(f"Say it.\n{text}"))]
    assert suspect_rows(looking, texts) == wanted


def _made(folder: Path) -> Path:
    folder.mkdir()
    return folder
