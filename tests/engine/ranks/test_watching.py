"""What is made of the ranks' signs of life: silence, standstill, and ends that do not come."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from engine.liveness import ProcessIdentity
from engine.ranks.beats import BEAT_SECONDS, ENDED, PAUSED, Beat, read_beats
from engine.ranks.watching import END_SECONDS, LONG_SECONDS, SILENT_SECONDS, Watch, still_there, tell
from engine.run_dir import RunDir

TIMEOUT = 60.0


@dataclass(slots=True)
class Two:
    """Two ranks whose beats come as told, and the watch over them, at a time of our own."""

    folder: Path
    now: float = 1000.0
    count: int = 0
    watch: Watch | None = None

    def beat(self, rank: int, phase: str, step: int) -> None:
        self.count += 1
        Beat(rank, ProcessIdentity.of(os.getpid()), self.count, phase, step).write(self.folder)

    def look(self, *beats: tuple[int, str, int], after: float = BEAT_SECONDS) -> str:
        self.watch = self.watch or Watch(self.folder, TIMEOUT, clock=lambda: self.now)
        self.now += after
        for beat in beats:
            self.beat(*beat)
        return self.watch.look()

    def live(self, seconds: float, phase: str, step: int) -> list[str]:
        """Both go on beating in the same phase and step; every reason that was given."""
        return [self.look((0, phase, step), (1, phase, step)) for _ in range(round(seconds / BEAT_SECONDS))]


@pytest.fixture
def two(tmp_path: Path) -> Two:
    return Two(tmp_path)


def test_a_beat_is_read_back_as_it_was_written_and_a_broken_file_counts_as_none(tmp_path: Path) -> None:
    beat = Beat(3, ProcessIdentity.of(os.getpid()), 7, "step", 12)
    beat.write(tmp_path)
    (tmp_path / "4.beat").write_text("{")
    (tmp_path / "5.beat").write_text('{"rank": 5}')
    assert read_beats(tmp_path) == {3: beat}


def test_ranks_that_beat_and_get_on_are_left_alone(two: Two) -> None:
    assert not any(two.look((0, "step", step), (1, "step", step)) for step in range(200))


def test_a_rank_that_falls_silent_is_named_with_where_it_was(two: Two) -> None:
    two.look((0, "step", 4), (1, "step", 4))
    assert two.look((0, "step", 4), after=SILENT_SECONDS - 1) == ""
    told = two.look((0, "step", 4))
    assert told.startswith("Rank 1 has given no sign of life for 31 s")
    assert f"process {os.getpid()}, in step of step 4" in told


def test_ranks_that_all_wait_in_a_step_are_ended_after_the_recipes_timeout_and_a_longest_step(two: Two) -> None:
    two.look((0, "step", 1), (1, "step", 1))
    two.look((0, "step", 2), (1, "step", 2), after=20)
    assert not any(two.live(TIMEOUT + 18, "step", 2))
    assert "No rank has got further for" in two.live(6, "step", 2)[-1]


@pytest.mark.parametrize("phase", ["load", "save", "eval"])
def test_loading_saving_and_scoring_may_take_longer(two: Two, phase: str) -> None:
    assert not any(two.live(10 * TIMEOUT, phase, 3))
    assert any(two.live(LONG_SECONDS, phase, 3))


def test_paused_ranks_may_wait_for_days(two: Two) -> None:
    assert not any(two.live(2 * LONG_SECONDS, PAUSED, 3))


def test_ranks_that_stay_after_the_first_ones_last_word_are_ended(two: Two) -> None:
    assert not any(two.look((0, ENDED, 9), (1, "save", 9)) for _ in range(round(END_SECONDS / BEAT_SECONDS)))
    assert two.look((0, ENDED, 9), (1, "save", 9), after=4) == "It had ended, but its processes did not."


@pytest.fixture
def in_own_session() -> Iterator[subprocess.Popen[bytes]]:
    """A process as torchrun starts a rank."""
    process = subprocess.Popen(
        [sys.executable, "-c", "import time; print(flush=True); time.sleep(60)"],
        start_new_session=True,
        stdout=subprocess.PIPE,
    )
    assert process.stdout is not None
    process.stdout.readline()
    yield process
    process.kill()
    process.communicate()


def test_a_rank_in_a_session_of_its_own_is_found_and_ended(
    tmp_path: Path, in_own_session: subprocess.Popen[bytes]
) -> None:
    run = RunDir.create(tmp_path, "ranks")
    run.beats(2).mkdir(parents=True)
    Beat(1, ProcessIdentity.of(in_own_session.pid), 1, "step", 5).write(run.beats(2))
    [found] = still_there(run)
    assert found.pid == in_own_session.pid
    tell([found], 9)
    assert in_own_session.wait(10) == -9
    assert still_there(run) == []
    tell([found], 9)  # gone already is fine
