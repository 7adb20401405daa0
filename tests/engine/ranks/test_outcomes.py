"""How an attempt of several ranks ended: the root cause is the first rank that failed by itself."""

from __future__ import annotations

from pathlib import Path

import pytest

from engine.attempt_outcome import outcome_of, with_team
from engine.event_log import EventWriter, read_events
from engine.events import (
    AttemptStarted,
    Event,
    OomHit,
    PeerLost,
    RankMeasured,
    TrainingEnded,
    WorkerFailed,
)
from engine.ranks.team import Failure, Team, note_failures
from engine.ranks.watching import writers
from engine.run_dir import RunDir
from engine.run_state import fold_all

MIB = 2**20
OOM = OomHit(attempt=1, phase="step", step=3, message="tried to allocate 2 GiB", cause="cpu allocator")
FAILED = WorkerFailed(error="DataError", exit_code=3, happened="no rows", means="nothing done", remedy="add rows")


@pytest.fixture
def run(tmp_path: Path) -> RunDir:
    made = RunDir.create(tmp_path, "ranks")
    made.beats(1).mkdir(parents=True)
    for rank in range(3):
        said(made, rank, memory(rank, step=1))
    return made


def said(run: RunDir, rank: int, *events: Event) -> None:
    writer = EventWriter(run.event_file(f"attempt-1-rank-{rank}" if rank else "attempt-1"))
    for event in events:
        writer.write(event)
    writer.close()


def memory(rank: int, step: int, rss_bytes: int = 100 * MIB) -> RankMeasured:
    return RankMeasured(attempt=1, rank=rank, host="box", device="cpu", step=step, phase="step", rss_bytes=rss_bytes)


def lost(rank: int) -> PeerLost:
    said = "Connection closed by peer [127.0.0.1]:4711"
    return PeerLost(attempt=1, rank=rank, phase="step", step=3, message=said)


def test_what_rank_0_says_of_the_end_holds_whatever_befell_the_others_at_the_exit(run: RunDir) -> None:
    said(run, 0, TrainingEnded(outcome="completed", step=9))
    said(run, 1, lost(1))
    note_failures(run.beats(1), [Failure(1, 77, -9)])
    assert outcome_of(run, 1, 1).kind == "completed"


def test_the_rank_that_ran_out_of_memory_is_the_cause_and_those_that_lost_it_are_not(run: RunDir) -> None:
    said(run, 2, OOM)
    said(run, 0, lost(0))
    said(run, 1, lost(1))
    outcome = outcome_of(run, 1, 1)
    assert (outcome.kind, outcome.oom) == ("out_of_memory", OOM)


def test_the_first_of_two_failures_is_the_cause(run: RunDir) -> None:
    said(run, 1, FAILED)
    said(run, 0, OOM, TrainingEnded(outcome="out_of_memory", step=3))
    outcome = outcome_of(run, 1, 3)
    assert (outcome.kind, outcome.reason, outcome.oom) == ("failed", "no rows", None)


def test_a_rank_killed_without_a_word_is_named_and_its_signal_decides(run: RunDir) -> None:
    said(run, 0, lost(0))
    note_failures(run.beats(1), [Failure(0, 76, 1), Failure(1, 77, -9)])
    outcome = outcome_of(run, 1, 1)
    assert (outcome.kind, outcome.reason) == ("killed", "Rank 1 (process 77) was killed by signal 9.")
    assert "attempt-1-rank-1.txt" in outcome.error.remedy
    judged, exit_code, testimony = with_team(outcome, 1, Team(run, 1, 3, 300.0))
    assert (judged, exit_code, testimony) == (outcome, -9, "")


def test_an_attempt_that_the_supervisor_ended_has_the_supervisors_reason(run: RunDir) -> None:
    said(run, 0, lost(0))
    team = Team(run, 1, 3, 300.0, ended_because="Rank 1 has given no sign of life for 31 s.")
    outcome, exit_code, _ = with_team(outcome_of(run, 1, -9), -9, team)
    assert (outcome.kind, outcome.reason, exit_code) == ("killed", team.ended_because, -9)


def test_ranks_that_only_lost_each_other_were_killed_by_nobody_that_is_known(run: RunDir) -> None:
    said(run, 0, lost(0))
    said(run, 1, lost(1))
    assert "Rank 0 lost the others: Connection closed by peer" in outcome_of(run, 1, 1).reason


def test_writers_of_an_attempt_are_counted_and_not_those_of_another(run: RunDir) -> None:
    for number in (10, 2):
        EventWriter(run.event_file(f"attempt-1-rank-{number}")).close()
    EventWriter(run.event_file("attempt-11-rank-1")).close()
    assert writers(run, 1) == ["attempt-1", *(f"attempt-1-rank-{rank}" for rank in (1, 2, 10))]
    assert run.next_attempt() == 2


def test_the_state_holds_the_newest_memory_of_each_rank_of_the_present_attempt(run: RunDir) -> None:
    said(run, 1, memory(1, step=5, rss_bytes=300 * MIB))
    state = fold_all(read_events(run.events))
    assert [(each.rank, each.step, each.rss_bytes // MIB) for each in state.ranks] == [
        (0, 1, 100),
        (1, 5, 300),
        (2, 1, 100),
    ]
    said(run, 0, AttemptStarted(attempt=2, plan_file="plan-2.json", resumed_from_step=0))
    assert fold_all(read_events(run.events)).ranks == ()
