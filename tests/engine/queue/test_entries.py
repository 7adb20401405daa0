"""Entries on disk: their order, two adding at once, damage, and what may be taken out."""

from __future__ import annotations

import json
import resource
import signal
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from engine.errors import RunDirError
from engine.events import WorkerFailed
from engine.queue import entries
from engine.queue.entries import Entry, Queue
from engine.run_dir import RunDir


def test_entries_come_back_whole_and_in_the_order_they_were_added(queue: Queue, hopeless: Callable[..., Entry]) -> None:
    queue.add([hopeless("first"), hopeless("second", sweep="s")])
    queue.add([hopeless("third")])
    assert [(entry.number, entry.name) for entry in queue.entries()] == [(1, "first"), (2, "second"), (3, "third")]
    assert queue.read(2) == queue.entries()[1]
    assert queue.read(2).sweep == "s"
    assert all(entry.is_waiting for entry in queue.entries())


def test_many_who_add_at_once_get_a_number_each(queue: Queue, hopeless: Callable[..., Entry]) -> None:
    adding = [threading.Thread(target=queue.add, args=([hopeless(), hopeless()],)) for _ in range(8)]
    for each in adding:
        each.start()
    for each in adding:
        each.join()
    assert [entry.number for entry in queue.entries()] == list(range(1, 17))


def test_a_broken_entry_says_what_is_wrong_and_can_be_taken_out(queue: Queue, hopeless: Callable[..., Entry]) -> None:
    queue.add([hopeless(), hopeless()])
    (queue.folder / "1.json").write_text('{"number": 1, "na')
    broken, whole = queue.entries()
    assert "1.json cannot be read" in broken.damage
    assert not broken.is_waiting
    assert whole.is_waiting
    queue.remove(1)
    assert [entry.number for entry in queue.entries()] == [2]


def test_an_entry_that_runs_is_not_taken_out(queue: Queue, hopeless: Callable[..., Entry], going: RunDir) -> None:
    queue.add([hopeless(run=str(going.path))])
    with pytest.raises(RunDirError, match="Entry 1 is running"):
        queue.remove(1)
    assert queue.clear(waiting=False) == []
    assert queue.entries()[0].is_going_on


def test_an_entry_that_is_not_there_is_answered_with_those_that_are(
    queue: Queue, hopeless: Callable[..., Entry]
) -> None:
    queue.add([hopeless()])
    with pytest.raises(RunDirError) as caught:
        queue.remove(7)
    assert "Its entries: 1." in caught.value.remedy


def test_clearing_keeps_what_waits_and_taking_all_out_keeps_what_is_over(
    queue: Queue, hopeless: Callable[..., Entry]
) -> None:
    first, _ = queue.add([hopeless("over"), hopeless("waits")])
    fault = WorkerFailed(error="DataError", exit_code=3, happened="no rows", means="", remedy="")
    queue.mark_fault(first, fault)
    assert queue.read(1).fault["happened"] == "no rows"
    assert [entry.name for entry in queue.clear(waiting=True)] == ["waits"]
    assert [entry.name for entry in queue.clear(waiting=False)] == ["over"]
    assert queue.entries() == []


def test_an_entry_that_was_taken_out_meanwhile_is_not_marked(
    queue: Queue, hopeless: Callable[..., Entry], tmp_path: Path
) -> None:
    (entry,) = queue.add([hopeless()])
    queue.remove(entry.number)
    assert queue.mark_run(entry, RunDir(tmp_path)) is None
    assert queue.entries() == []


def test_more_than_fits_is_refused_whole(queue: Queue, hopeless: Callable[..., Entry]) -> None:
    queue.add([hopeless()])
    with pytest.raises(RunDirError, match="More than 1000"):
        queue.add([hopeless()] * entries.MAX_ENTRIES)
    assert len(queue.entries()) == 1


def test_a_disk_that_fills_up_leaves_none_of_the_entries_that_came_together(
    queue: Queue, hopeless: Callable[..., Entry]
) -> None:
    queue.add([hopeless()])
    long = replace(hopeless(), recipe="#" * 50_000)
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    ignored = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, before[1]))
    try:
        with pytest.raises(RunDirError, match="cannot be written"):
            queue.add([hopeless(), long])
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, ignored)
    assert [entry.number for entry in queue.entries()] == [1]
    assert sorted(path.name for path in queue.folder.iterdir()) == ["1.json", "queue.lock"]


def test_a_file_from_another_version_is_told_as_damage(queue: Queue, hopeless: Callable[..., Entry]) -> None:
    queue.add([hopeless()])
    path = queue.folder / "1.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"unheard_of": 1}))
    assert "unheard_of" in queue.read(1).damage
