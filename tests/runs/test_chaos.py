"""A handful of what `benchmarks/chaos.py` tries hundreds of times: faults at instants of chance, with a fixed seed.

What a kill of one process does stands in test_interruptions. Here a fault comes at any phase, and everything is held
against the raw files: the state shown, every event from before, each loss, the checkpoint chosen, who is left over.
"""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from benchmarks import chaos
from benchmarks.chaos_faults import Trial
from benchmarks.chaos_faults.living import shared_by
from benchmarks.chaos_faults.processes import FAULTS

slow = pytest.mark.slow(seconds=45)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder for tries: all share one run, which they resume again and again."""
    root = tmp_path_factory.mktemp("chaos")
    yield root
    shared_by(root / "any").bench.end_all()


@slow
@pytest.mark.parametrize(
    "name", ["power cut", "clock set back", "folder renamed while running", "resumed by several at once"]
)
def test_nothing_is_lost_by(place: Path, name: str) -> None:
    trial = chaos.put(name, FAULTS[name], 0, 8, place)
    assert trial.lost == "", trial


def never(_folder: Path, _chance: random.Random) -> Trial:
    raise OSError("the disk said no")


def test_a_try_that_breaks_off_is_told_as_lost_and_keeps_its_folder(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    trial = chaos.put("a/fault of mine", never, 3, 0, tmp_path)
    assert trial.lost == "OSError: the disk said no"
    assert "Traceback" in capsys.readouterr().err
    assert (tmp_path / "a-fault-of-mine-3").is_dir()


def test_the_table_counts_what_was_tried_survived_and_lost() -> None:
    rows = {"kill": chaos.Row(3, ["a checkpoint is gone"], 6.0), "cut": chaos.Row(1, [], 1.0)}
    assert chaos.table(rows)[2:] == [
        "| kill | 3 | 2 | 1 | 2.0 |",
        "| cut | 1 | 1 | 0 | 1.0 |",
        "| all | 4 | 3 | 1 | 1.8 |",
    ]


def test_every_fault_is_offered_once_and_is_found_by_a_word_of_its_name(capsys: pytest.CaptureFixture[str]) -> None:
    assert chaos.main(["--list", "--only", "SIGHUP"]) == 0
    assert capsys.readouterr().out.splitlines() == [
        f"SIGHUP of {who}" for who in ("the supervisor", "the worker", "a viewer")
    ]
    with pytest.raises(SystemExit, match="no fault is called 'meteor'"):
        chaos.main(["--only", "meteor"])


def test_several_goes_are_summed_and_a_loss_is_the_exit_code(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    files = [tmp_path / "first.jsonl", tmp_path / "second.jsonl"]
    told = {"fault": "kill", "number": 0, "seed": 0, "seconds": 2.0, "seen": "killed", "lost": ""}
    files[0].write_text(json.dumps(told) + "\n")
    assert chaos.main(["--sum", str(files[0])]) == 0
    files[1].write_text(json.dumps(told | {"lost": "an event is gone"}) + "\n")
    assert chaos.main(["--sum", *map(str, files)]) == 1
    assert "| kill | 2 | 1 | 1 | 2.0 |\n| all | 2 | 1 | 1 | 2.0 |\n\nkill: an event is gone" in capsys.readouterr().out
