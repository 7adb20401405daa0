"""The fit probe in whole runs: told before step 1, and without a trace in what comes out."""

from __future__ import annotations

from typing import Any

from engine import events as ev
from engine.event_log import EventReader
from engine.run_dir import RunDir, read_json


def test_a_run_probes_before_its_first_step_and_ends_as_one_without(workshop: Any, straight: RunDir) -> None:
    """`straight` ran with the probe, as every run does unless its recipe says otherwise."""
    done = workshop.finetui("replay", "tiny.toml", "--set", "run.name=unprobed", "--set", "memory.probe=false")
    assert done.returncode == 0, done.stdout + done.stderr
    unprobed = workshop.run("unprobed-1")
    told = [stamped.event for stamped in EventReader(straight.events).poll() if stamped.writer == "attempt-1"]
    kinds = [type(event) for event in told]
    assert kinds.index(ev.MemoryProbed) < kinds.index(ev.TrainingStarted) < kinds.index(ev.StepLogged)
    (probed,) = [event for event in told if isinstance(event, ev.MemoryProbed)]
    (measured,) = [event for event in told if isinstance(event, ev.MemoryMeasured)]
    assert measured.step == 2
    assert measured.static_bytes == probed.static_bytes
    assert measured.peak_bytes >= probed.peak_bytes
    without = [stamped.event for stamped in EventReader(unprobed.events).poll()]
    assert not [event for event in without if isinstance(event, ev.MemoryProbed)]
    assert workshop.losses(unprobed) == workshop.losses(straight)
    assert workshop.adapter_bytes(unprobed) == workshop.adapter_bytes(straight)


def test_a_run_records_how_long_its_rows_are(straight: RunDir) -> None:
    record = read_json(straight.prepared)
    for split, name in (("train", "row_lengths"), ("eval", "eval_row_lengths")):
        lengths = record[name]
        assert lengths["num_rows"] == record["splits"][split]["rows"]
        tokens = [row[0] for row in lengths["longest"]]
        assert tokens == sorted(tokens, reverse=True)
        assert all(0 < trained < num_tokens for num_tokens, trained in lengths["longest"])
