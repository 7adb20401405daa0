"""Event files: written by one process each, read by any number, whatever happens in between."""

from __future__ import annotations

import os
import resource
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.errors import RunDirError
from engine.event_log import MAX_LINE_BYTES, EventReader, EventWriter, decode, encode, read_events
from engine.events import StageStarted, Stamped, TrainingPaused, WarningRaised
from engine.first_look import glimpse

WRITE_WITHOUT_END = """
import sys
from pathlib import Path
from engine.event_log import EventWriter
from engine.events import WarningRaised
writer = EventWriter(Path(sys.argv[1]))
size = 1
while True:
    writer.write(WarningRaised(text="x" * size))
    size = size * 7 % 3001
    print("written", flush=True)
"""
FILL_UP = """
import sys
from pathlib import Path
from engine.errors import RunDirError
from engine.event_log import EventWriter
from engine.events import TrainingPaused
writer = EventWriter(Path(sys.argv[1]))
if len(sys.argv) > 2:
    import resource
    resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[2]), resource.RLIM_INFINITY))
told = 0
try:
    while True:
        writer.write(TrainingPaused(step=told))
        told += 1
except RunDirError as fault:
    print(told)
    print(fault)
"""


def steps(folder: Path) -> list[int]:
    return [s.event.step for s in read_events(folder) if isinstance(s.event, TrainingPaused)]


def line(step: int, time: float, writer: str = "attempt-1", seq: int | None = None) -> bytes:
    return encode(Stamped(time, writer, step if seq is None else seq, TrainingPaused(step=step)))


def test_what_was_written_is_read_in_order_with_numbers_that_count_up(tmp_path: Path) -> None:
    writer = EventWriter(tmp_path / "attempt-3.jsonl")
    for step in range(5):
        writer.write(TrainingPaused(step=step))
    writer.close()
    read = read_events(tmp_path)
    assert [(s.writer, s.seq, s.event) for s in read] == [("attempt-3", n, TrainingPaused(step=n)) for n in range(5)]


def test_a_line_of_4096_bytes_is_written_and_one_more_is_refused(tmp_path: Path) -> None:
    writer = EventWriter(tmp_path / "a.jsonl")
    frame = len(encode(Stamped(1.5, "a", 0, WarningRaised(text=""))))
    fits = WarningRaised(text="x" * (MAX_LINE_BYTES - frame))
    assert len(encode(Stamped(1.5, "a", 0, fits))) == MAX_LINE_BYTES
    with pytest.raises(ValueError, match="an event holds 4096 at most"):
        encode(Stamped(1.5, "a", 0, WarningRaised(text=fits.text + "x")))
    with pytest.raises(ValueError, match="WarningRaised takes"):
        writer.write(WarningRaised(text="é" * MAX_LINE_BYTES))
    writer.write(TrainingPaused(step=1))
    assert steps(tmp_path) == [1]


def test_a_writer_killed_at_any_moment_costs_at_most_its_last_line_and_its_successor_counts_on(tmp_path: Path) -> None:
    path, reader, seen = tmp_path / "attempt-1.jsonl", EventReader(tmp_path), []
    kills = (1, 2, 5, 17, 40, 3, 1, 90, 8, 4)
    for num_lines in kills:
        process = subprocess.Popen(
            [sys.executable, "-P", "-c", WRITE_WITHOUT_END, str(path)], stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
        assert process.stdout is not None
        for _ in range(num_lines):
            process.stdout.readline()
        seen += reader.poll()
        process.kill()
        process.communicate()
        seen += reader.poll()
    assert [stamped.seq for stamped in seen] == list(range(len(seen)))
    assert len(seen) >= 171
    assert reader.num_bad_lines <= len(kills)


@pytest.mark.parametrize("cut", range(1, 40, 3))
def test_a_tail_torn_at_any_byte_costs_that_line_only(tmp_path: Path, cut: int) -> None:
    path = tmp_path / "attempt-1.jsonl"
    path.write_bytes(line(0, 1.0) + line(1, 2.0)[:-cut])
    reader = EventReader(tmp_path)
    assert [s.seq for s in reader.poll()] == [0]
    assert reader.num_bad_lines == 0, "an unfinished line may still be finished"
    writer = EventWriter(path)
    writer.write(TrainingPaused(step=7))
    writer.write(TrainingPaused(step=8))
    after = [(s.seq, s.event) for s in reader.poll()]
    # A line that lacks nothing but its end is whole again once its successor ends it.
    expected = [(1, TrainingPaused(step=7)), (2, TrainingPaused(step=8))]
    if cut == 1:
        expected = [(1, TrainingPaused(step=1)), (2, TrainingPaused(step=7)), (3, TrainingPaused(step=8))]
    assert after == expected
    assert reader.num_bad_lines == (0 if cut == 1 else 1)


def test_a_line_that_arrives_in_pieces_is_read_once_it_is_whole(tmp_path: Path) -> None:
    path, reader = tmp_path / "a.jsonl", EventReader(tmp_path)
    whole = line(1, 1.0)
    for piece in (whole[:5], whole[5:60], whole[60:-1]):
        with path.open("ab") as file:
            file.write(piece)
        assert reader.poll() == []
    with path.open("ab") as file:
        file.write(whole[-1:])
    assert len(reader.poll()) == 1


@pytest.mark.parametrize(
    "bad",
    [
        b"not json",
        b"[1, 2]",
        b"null",
        b'{"no": "event"}',
        b'{"event": ["a", "list"]}',
        b'{"event": "TrainingPaused", "time": 1.0, "writer": "a", "seq": 1}',
        b'{"event": "TrainingPaused", "step": 1, "writer": "a", "seq": 1}',
        b'{"event": "TrainingPaused", "step": 1, "time": "noon", "writer": "a", "seq": 1}',
        b'{"event": "TrainingPaused", "step": 1, "time": 1.0, "writer": "a", "seq": Infinity}',
        b"\xff\xfe\x00",
        b"\x00" * 300,
        b"[" * 100_000,
    ],
)
def test_a_bad_line_is_counted_and_the_others_are_read(tmp_path: Path, bad: bytes) -> None:
    (tmp_path / "a.jsonl").write_bytes(line(1, 1.0) + bad + b"\n" + line(2, 2.0))
    reader = EventReader(tmp_path)
    assert [s.seq for s in reader.poll()] == [1, 2]
    assert (reader.num_bad_lines, reader.num_unknown_events) == (1, 0)


def test_an_event_or_a_field_of_a_newer_version_is_passed_over(tmp_path: Path) -> None:
    newer = b'{"v": 2, "event": "Teleported", "time": 1.0, "writer": "a", "seq": 1, "far": true}\n'
    known = line(2, 2.0).replace(b'"step":2', b'"step":2,"mood":"good"')
    (tmp_path / "a.jsonl").write_bytes(newer + known + b"\n\n")
    reader = EventReader(tmp_path)
    assert [s.event for s in reader.poll()] == [TrainingPaused(step=2)]
    assert (reader.num_bad_lines, reader.num_unknown_events) == (0, 1)
    assert decode(newer) is None


def test_a_file_cut_short_or_replaced_is_read_from_its_start(tmp_path: Path) -> None:
    path, reader = tmp_path / "a.jsonl", EventReader(tmp_path)
    path.write_bytes(line(1, 1.0) + line(2, 2.0) + b"unfinished")
    assert len(reader.poll()) == 2
    os.truncate(path, 0)
    with path.open("ab") as file:
        file.write(line(3, 3.0))
    assert [s.seq for s in reader.poll()] == [3]
    other = tmp_path / "other"
    other.write_bytes(line(4, 4.0) + line(5, 5.0) + line(6, 6.0))
    other.replace(path)
    assert [s.seq for s in reader.poll()] == [4, 5, 6]
    path.unlink()
    assert reader.poll() == []
    assert reader.num_bad_lines == 0


def test_files_of_several_writers_are_merged_by_time(tmp_path: Path) -> None:
    (tmp_path / "attempt-1.jsonl").write_bytes(line(1, 10.0) + line(2, 30.0) + line(3, 50.0))
    (tmp_path / "supervisor.jsonl").write_bytes(line(7, 20.0, "supervisor") + line(8, 40.0, "supervisor"))
    (tmp_path / "notes.txt").write_bytes(b"not an event file")
    assert steps(tmp_path) == [1, 7, 2, 8, 3]


def test_a_clock_set_back_never_turns_the_order_of_one_file_round(tmp_path: Path) -> None:
    (tmp_path / "attempt-1.jsonl").write_bytes(line(1, 100.0) + line(2, 20.0) + line(3, 21.0) + line(4, 130.0))
    (tmp_path / "supervisor.jsonl").write_bytes(line(7, 90.0, "supervisor") + line(8, 120.0, "supervisor"))
    assert steps(tmp_path) == [7, 1, 2, 3, 8, 4]


def test_events_of_the_same_moment_keep_the_order_of_their_numbers(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_bytes(b"".join(line(n, 5.0, "a") for n in range(20)))
    assert steps(tmp_path) == list(range(20))


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of four pages. Skips where none can be mounted."""
    folder = tmp_path / "disk"
    folder.mkdir()
    made = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=16k", "tmpfs", str(folder)], capture_output=True, text=True
    )
    if made.returncode != 0:
        pytest.skip(f"no file system can be mounted here: {made.stderr.strip()}")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def fill_up(path: Path, *limit: str) -> tuple[int, str]:
    """How many events a real process could write before its disk refused, and what it was told."""
    done = subprocess.run(
        [sys.executable, "-P", "-c", FILL_UP, str(path), *limit], capture_output=True, text=True, check=True
    )
    count, _, told = done.stdout.partition("\n")
    return int(count), told


def test_a_full_disk_is_told_and_what_was_written_is_still_read(small_disk: Path) -> None:
    written, told = fill_up(small_disk / "attempt-1.jsonl")
    assert "No space left on device" in told
    assert written > 50
    assert steps(small_disk) == list(range(written))


def test_a_file_that_may_not_grow_is_told_even_when_half_a_line_was_taken(tmp_path: Path) -> None:
    path = tmp_path / "attempt-1.jsonl"
    written, told = fill_up(path, "5000")
    assert "cannot be written" in told
    assert "finetui resume" in told
    assert path.stat().st_size == 5000, "the beginning of the last line was taken"
    assert steps(tmp_path) == list(range(written))
    writer = EventWriter(path)
    writer.write(StageStarted(stage="train"))
    reader = EventReader(tmp_path)
    *_, last = reader.poll()
    assert (last.seq, last.event) == (written, StageStarted(stage="train"))
    assert reader.num_bad_lines == 1


def test_a_disk_that_takes_nothing_is_an_error_of_the_run_folder() -> None:
    with pytest.raises(RunDirError, match="No space left on device") as told:
        EventWriter(Path("/dev/full")).write(TrainingPaused(step=1))
    assert told.value.exit_code == 9


def test_a_limit_on_file_size_kills_nobody() -> None:
    """Python ignores SIGXFSZ; the tests above rest on it."""
    assert signal.getsignal(signal.SIGXFSZ) is signal.SIG_IGN
    assert resource.getrlimit(resource.RLIMIT_FSIZE)[1] == resource.RLIM_INFINITY


def test_an_event_file_is_readable_by_its_owner_only(tmp_path: Path) -> None:
    EventWriter(tmp_path / "a.jsonl").close()
    assert (tmp_path / "a.jsonl").stat().st_mode & 0o777 == 0o600


def slices(reader: EventReader) -> list[list[Stamped]]:
    """What a reader hands out in the smallest slices there are, until it has read everything."""
    found, share = [], 0.0
    while share < 1.0:
        some, share_now = reader.drain(0.0)
        assert share_now >= share
        share = share_now
        found.append(some)
    return found


def write_lines(folder: Path, clocks: dict[str, list[float]]) -> None:
    for writer, times in clocks.items():
        text = b"".join(line(number, time, writer) for number, time in enumerate(times))
        (folder / f"{writer}.jsonl").write_bytes(text)


Clocks = st.dictionaries(
    st.sampled_from(("attempt-1", "attempt-2", "supervisor")), st.lists(st.integers(0, 5).map(float), max_size=90)
)


@given(Clocks)
def test_a_history_read_in_slices_is_the_history_read_at_once(clocks: dict[str, list[float]]) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_lines(folder, clocks)
        found = slices(EventReader(folder))
        assert [stamped for part in found for stamped in part] == read_events(folder)
        keyed = [
            (max(clocks[writer][: number + 1]), writer, number)
            for writer, times in clocks.items()
            for number in range(len(times))
        ]
        assert [(stamped.writer, stamped.seq) for stamped in read_events(folder)] == [key[1:] for key in sorted(keyed)]


def test_slices_are_small_and_what_is_written_meanwhile_comes_after_them(tmp_path: Path) -> None:
    write_lines(tmp_path, {"attempt-1": [float(number) for number in range(100)], "supervisor": [50.5]})
    reader = EventReader(tmp_path)
    first, share = reader.drain(0.0)
    assert len(first) == 32
    assert 0 < share < 1
    with (tmp_path / "attempt-1.jsonl").open("ab") as file:
        file.write(line(100, 100.0) + line(101, 101.0)[:20])
    rest = [stamped for part in slices(reader) for stamped in part]
    assert [stamped.seq for stamped in first + rest if stamped.writer == "attempt-1"] == list(range(101))
    with (tmp_path / "attempt-1.jsonl").open("ab") as file:
        file.write(line(101, 101.0)[20:])
    assert [stamped.seq for stamped in reader.poll()] == [101]


def test_a_file_replaced_between_two_slices_is_read_from_its_start(tmp_path: Path) -> None:
    write_lines(tmp_path, {"attempt-1": [float(number) for number in range(100)]})
    reader = EventReader(tmp_path)
    reader.drain(0.0)
    other = tmp_path / "other"
    other.write_bytes(line(7, 7.0))
    other.replace(tmp_path / "attempt-1.jsonl")
    assert [stamped.seq for part in slices(reader) for stamped in part] == [7]
    (tmp_path / "attempt-1.jsonl").unlink()
    assert reader.drain(0.0) == ([], 1.0)


def test_a_glimpse_shows_both_ends_of_every_file_and_no_line_twice(tmp_path: Path) -> None:
    write_lines(
        tmp_path,
        {
            "attempt-1": [float(n) for n in range(1000)],
            "attempt-2": [1000.0 + n for n in range(1000)],
            "supervisor": [0.5],
        },
    )
    with (tmp_path / "attempt-2.jsonl").open("ab") as file:
        file.write(b'{"v":1,"seq":')
    seen = glimpse(tmp_path, max_bytes=2000)
    assert [stamped.writer for stamped in seen[:3]] == ["attempt-1", "supervisor", "attempt-1"]
    by_writer = {name: [s.seq for s in seen if s.writer == name] for name in ("attempt-1", "attempt-2")}
    for numbers in by_writer.values():
        assert (numbers[0], numbers[-1]) == (0, 999)
        assert numbers == sorted(set(numbers))
        assert 20 < len(numbers) < 80


@given(st.integers(1, 3000), st.integers(0, 60))
def test_a_glimpse_of_any_size_holds_whole_lines_only(max_bytes: int, count: int) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_lines(folder, {"attempt-1": [float(number) for number in range(count)]})
        seen, whole = glimpse(folder, max_bytes), read_events(folder)
        assert len(seen) == len({stamped.seq for stamped in seen})
        assert {stamped.seq for stamped in seen} <= {stamped.seq for stamped in whole}
        if (folder / "attempt-1.jsonl").stat().st_size <= 2 * max_bytes:
            assert seen == whole
