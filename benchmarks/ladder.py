"""What the ladder costs: crashes before a plan fits, time from an OOM to the next step, steps lost (target: 0).

Five scenarios, each with the prediction on and off, each a whole run of the bundled model by real processes under a
real cap. The cap is a share of what the start plan is predicted to need, so that every machine has to climb.
Run it from an otherwise idle machine: `python benchmarks/ladder.py [--only NAME] [--out benchmarks/results/FILE.md]`.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from engine import control
from engine import events as ev
from engine.event_log import read_events
from engine.hardware import read_hardware
from engine.liveness import supervisor_of
from engine.memory import closed_form
from engine.plan import plan
from engine.recipe import Recipe
from engine.row_lengths import RowLengths
from engine.run_dir import RunDir
from engine.starting import shape_for, versions
from engine.units import MIB, format_bytes

PRESET = "demo-cpu"
STEPS = 6
PATIENCE_SECONDS = 120.0
TOO_SLOW = 124
"""Exit code of a run that took longer than that: it is ended, and its row says so."""
LONG_WORDS, SHORT_WORDS = 450, 12
TOKENS_PER_WORD = 2.2
"""Of the numbers that rows are made of, roughly; the cap needs no more."""


@dataclass(frozen=True, slots=True)
class Scenario:
    """`rows`: words of each row. `share`: the cap, as a share of the predicted need of the start plan."""

    name: str
    what: str
    rows: tuple[int, ...]
    share: float
    overrides: tuple[str, ...]


LATE = (*(SHORT_WORDS,) * 9, LONG_WORDS, *(SHORT_WORDS,) * 6)
SCENARIOS = (
    Scenario(
        "micro-batch",
        "too many rows at once",
        (60,) * 64,
        1.0,
        ("training.per_device_train_batch_size=16", "training.gradient_checkpointing=true"),
    ),
    Scenario(
        "late row",
        "one long row at a later step",
        LATE,
        0.75,
        ("training.per_device_train_batch_size=2", "training.gradient_checkpointing=false"),
    ),
    Scenario(
        "weights",
        "not even the weights fit",
        (SHORT_WORDS,) * 32,
        0.6,
        ("training.per_device_train_batch_size=1", "adapter.method=lora", "training.max_steps=3"),
    ),
    Scenario(
        "DoRA",
        "a costly rung of the adapter",
        (SHORT_WORDS,) * 32,
        0.85,
        (
            "training.per_device_train_batch_size=1",
            "adapter.method=lora",
            "adapter.use_dora=true",
            "adapter.lean_dora=false",
            'ladder.costly=["disable_dora"]',
        ),
    ),
    Scenario(
        "context",
        "a costly rung of the rows",
        LATE,
        0.85,
        (
            "training.per_device_train_batch_size=1",
            "training.gradient_checkpointing=true",
            'ladder.costly=["halve_max_length"]',
        ),
    ),
)


@dataclass(frozen=True, slots=True)
class Row:
    """What one run did. `wait`: seconds from the first OOM to the first step after it, None without an OOM."""

    scenario: str
    predicts: bool
    cap_bytes: int
    exit_code: int
    crashes: int
    rungs: tuple[str, ...]
    wait: float | None
    lost: int
    seconds: float


def measure(scenario: Scenario, folder: Path, *, predicts: bool) -> Row:
    """One run of a scenario, from start to end."""
    (folder / "rows.jsonl").write_text("".join(rows_of(scenario)), encoding="utf-8")
    overrides = (*base_overrides(folder), *scenario.overrides)
    cap = cap_of(scenario, overrides, folder)
    overrides += (f"memory.limit={cap // MIB}MiB", f"ladder.predict={str(predicts).lower()}", "memory.probe=false")
    name = f"{scenario.name.lower().replace(' ', '-')}-{'on' if predicts else 'off'}"
    words = [part for each in (*overrides, f"run.name={name}") for part in ("--set", each)]
    command = [sys.executable, "-P", "-m", "tui_app", "replay", PRESET, *words]
    environment = os.environ | {"FINETUI_HOME": str(folder / "home")}
    started = time.monotonic()
    process = subprocess.Popen(command, env=environment, cwd=folder, stdout=subprocess.DEVNULL)
    try:
        exit_code = process.wait(PATIENCE_SECONDS)
    except subprocess.TimeoutExpired:
        exit_code = TOO_SLOW
    run = RunDir.open(f"{name}-1", folder / "home" / "runs")
    end(run, process)
    seconds = time.monotonic() - started
    return judged(run, scenario.name, predicts=predicts, cap=cap, exit_code=exit_code, seconds=seconds)


def end(run: RunDir, process: subprocess.Popen[bytes]) -> None:
    """Leave no process behind: a run outlives the command that started it."""
    supervisor = supervisor_of(run)
    while supervisor is not None and supervisor.is_alive():
        control.send(run, "abort")
        time.sleep(1)
    process.kill()
    process.wait()


def judged(run: RunDir, scenario: str, *, predicts: bool, cap: int, exit_code: int, seconds: float) -> Row:
    """The run's events as figures."""
    told = list(read_events(run.events))
    ooms = [stamped for stamped in told if isinstance(stamped.event, ev.OomHit)]
    last_oom = max((stamped.time for stamped in ooms), default=0.0)
    after = [s.time for s in told if isinstance(s.event, ev.StepLogged) and s.time > last_oom]
    wait = min(after) - ooms[0].time if ooms and after else None
    return Row(
        scenario=scenario,
        predicts=predicts,
        cap_bytes=cap,
        exit_code=exit_code,
        crashes=len(ooms),
        rungs=tuple(stamped.event.rung for stamped in told if isinstance(stamped.event, ev.RungTaken)),
        wait=wait,
        lost=steps_lost([stamped.event for stamped in told]),
        seconds=seconds,
    )


def steps_lost(told: list[ev.Event]) -> int:
    """Finished steps that a later attempt had to do again."""
    marks = [event for event in told if isinstance(event, ev.AttemptStarted | ev.OomHit)]
    return sum(
        max(0, before.step - after.resumed_from_step)
        for before, after in pairwise(marks)
        if isinstance(before, ev.OomHit) and isinstance(after, ev.AttemptStarted)
    )


def rows_of(scenario: Scenario) -> Iterator[str]:
    for number, count in enumerate(scenario.rows):
        said = " ".join(str((number * 7 + word) % 100) for word in range(count))
        yield json.dumps({"prompt": f"say {number}", "completion": said}) + "\n"


def base_overrides(folder: Path) -> tuple[str, ...]:
    return (
        f"data.dataset={folder / 'rows.jsonl'}",
        "data.format=auto",
        "data.system=",
        "data.unseen_answers=0",
        "data.generator_rows=",
        "data.eval_fraction=0",
        "data.test_fraction=0",
        "evaluation.enabled=false",
        f"training.max_steps={STEPS}",
        "training.gradient_accumulation_steps=1",
        "training.save_steps=100",
        "training.max_length=1024",
    )


def cap_of(scenario: Scenario, overrides: tuple[str, ...], folder: Path) -> int:
    """Bytes: the scenario's share of what its start plan is predicted to need, by the closed form."""
    from presets.preset import preset

    recipe = Recipe.parse(preset(PRESET).text, overrides=overrides)
    shape, _ = shape_for(recipe, folder)
    assert shape is not None
    lengths = [int(count * TOKENS_PER_WORD) + 30 for count in scenario.rows]
    rows = RowLengths.of((tokens, tokens) for tokens in lengths)
    start = plan(recipe, read_hardware(), shape, rows=rows)
    return int(closed_form(shape)(dataclasses.replace(start, rows=rows)).needed_bytes * scenario.share)


def table(rows: list[Row]) -> str:
    """The figures as a table in Markdown."""
    lines = [
        "| scenario | cap | prediction | crashes | rungs | OOM to next step | steps lost | exit | whole run |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for row in rows:
        wait = "-" if row.wait is None else f"{row.wait:.1f} s"
        lines.append(
            f"| {row.scenario} | {format_bytes(row.cap_bytes)} | {'on' if row.predicts else 'off'} | {row.crashes} "
            f"| {', '.join(row.rungs) or '-'} | {wait} | {row.lost} | {row.exit_code} | {row.seconds:.0f} s |"
        )
    return "\n".join(lines)


def heading() -> str:
    """When, on what machine, with which versions, by which command."""
    hardware, stack = read_hardware(), versions()
    device = hardware.best_gpu.name if hardware.best_gpu else hardware.cpu_name
    wanted = ("python", "torch", "transformers", "trl", "peft", "bitsandbytes")
    return "\n".join(
        [
            f"# The ladder, {time.strftime('%Y-%m-%d')}",
            "",
            f"Device: {device}; {hardware.num_cores} cores, {platform.system()} {platform.release()}.",
            f"Versions: {', '.join(f'{name} {stack[name]}' for name in wanted)}.",
            f"Command: `python {' '.join(sys.argv)}`.",
            "",
        ]
    )


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", choices=[each.name for each in SCENARIOS], help="one scenario")
    parser.add_argument("--out", type=Path, help="also write the table to this file")
    options = parser.parse_args()
    rows = []
    for scenario in SCENARIOS:
        if options.only not in (None, scenario.name):
            continue
        for predicts in (True, False):
            with tempfile.TemporaryDirectory(prefix="finetui-ladder-") as folder:
                rows.append(measure(scenario, Path(folder), predicts=predicts))
            print(table(rows[-1:]).splitlines()[-1], flush=True)
    text = f"{heading()}\n{table(rows)}\n"
    print(f"\n{text}")
    if options.out:
        options.out.write_text(text, encoding="utf-8")
    return 0 if all(row.exit_code == 0 and row.lost == 0 for row in rows) else 1


if __name__ == "__main__":
    sys.exit(main())
