"""What a run survives: faults put to real runs again and again, at random instants, and what was lost by each.

    python benchmarks/chaos.py [--seed N] [--times N] [--only NAME]... [--seconds N] [--told FILE] [--root DIR]
    python benchmarks/chaos.py --sum FILE...

Every module of `chaos_faults` offers faults; each is tried `--times` times with chance from the seed, its name and the
number of the try, so that a try can be repeated alone. The exit code is 1 if anything was lost. Not here: the faults,
and what counts as lost (`chaos_faults`).
"""

from __future__ import annotations

import argparse
import importlib
import json
import pkgutil
import random
import shutil
import sys
import tempfile
import time
import traceback
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

CHECKOUT = Path(__file__).parents[1]
sys.path.insert(0, str(CHECKOUT))

from benchmarks import chaos_faults  # noqa: E402
from benchmarks.chaos_faults import Fault, Trial  # noqa: E402

DEFAULT_TIMES = 1


@dataclass(slots=True)
class Row:
    """One line of the table: how often a fault was tried, and what was lost by it, one sentence each."""

    tried: int = 0
    losses: list[str] = field(default_factory=list)
    seconds: float = 0.0


def all_faults() -> dict[str, Fault]:
    """Every fault of every module of `chaos_faults`, by name. Raises ValueError where two have one name."""
    found: dict[str, Fault] = {}
    for module in sorted(pkgutil.iter_modules(chaos_faults.__path__), key=lambda each: each.name):
        offered = getattr(importlib.import_module(f"benchmarks.chaos_faults.{module.name}"), "FAULTS", {})
        if twice := found.keys() & offered.keys():
            raise ValueError(f"two faults are called {', '.join(sorted(twice))}")
        found |= offered
    return found


def chosen(faults: Mapping[str, Fault], names: list[str]) -> dict[str, Fault]:
    """The faults whose name holds one of the words, all without words. Raises SystemExit for a word without any."""
    for name in names:
        if not any(name in each for each in faults):
            raise SystemExit(f"no fault is called {name!r}; there are {', '.join(faults)}")
    return {each: fault for each, fault in faults.items() if not names or any(name in each for name in names)}


def put(name: str, fault: Fault, number: int, seed: int, root: Path) -> Trial:
    """One try in a folder of its own. A fault that cannot be tried to its end counts as lost, with the reason."""
    folder = root / f"{name.replace(' ', '-').replace('/', '-')}-{number}"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    try:
        trial = fault(folder, random.Random(f"{seed}/{name}/{number}"))
    except Exception as broken:  # noqa: BLE001 - whatever escapes a try is a finding, and the others go on
        traceback.print_exc()
        trial = Trial("the try itself ended early", lost=f"{type(broken).__name__}: {broken}")
    if not trial.lost:
        shutil.rmtree(folder, ignore_errors=True)
    return trial


def tries(faults: Mapping[str, Fault], times: int) -> Iterator[tuple[str, int]]:
    """(fault, number) in the order of trying: every fault once, then every one again."""
    return ((name, number) for number in range(times) for name in faults)


def table(rows: Mapping[str, Row]) -> list[str]:
    """The rows as Markdown, with a sum."""
    lines = ["| fault | tried | survived | lost | s each |", "|---|---|---|---|---|"]
    total = Row(sum(row.tried for row in rows.values()), [loss for row in rows.values() for loss in row.losses])
    total.seconds = sum(row.seconds for row in rows.values())
    for name, row in [*rows.items(), ("all", total)]:
        lost = len(row.losses)
        lines.append(f"| {name} | {row.tried} | {row.tried - lost} | {lost} | {row.seconds / max(row.tried, 1):.1f} |")
    return lines


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--seed", type=int, default=0, help="of all chance (default 0)")
    parser.add_argument("--times", type=int, default=DEFAULT_TIMES, help=f"tries of each ({DEFAULT_TIMES})")
    parser.add_argument("--only", action="append", default=[], metavar="NAME", help="faults whose name holds this")
    parser.add_argument("--seconds", type=float, default=float("inf"), help="begin no try after so long")
    parser.add_argument("--told", type=Path, metavar="FILE", help="append each try to this file as a JSON line")
    parser.add_argument("--root", type=Path, help="work here and leave it: what tries share is made once for all goes")
    parser.add_argument("--sum", type=Path, nargs="+", metavar="FILE", help="only the table of what --told wrote")
    parser.add_argument("--list", action="store_true", help="name the faults and do nothing")
    options = parser.parse_args(arguments)
    if options.sum:
        return conclude(told_before(options.sum), "the folder that --root named")
    faults = chosen(all_faults(), options.only)
    if options.list:
        print("\n".join(faults))
        return 0
    rows = {name: Row() for name in faults}
    until = time.monotonic() + options.seconds
    root = (options.root or Path(tempfile.mkdtemp(prefix="chaos-"))).resolve()
    try:
        for name, number in tries(faults, options.times):
            if time.monotonic() > until:
                break
            began = time.monotonic()
            trial = put(name, faults[name], number, options.seed, root)
            seconds = time.monotonic() - began
            note(rows[name], trial, seconds)
            tell(options, name, number, trial, seconds)
    except KeyboardInterrupt:
        print("ended by Ctrl-C; the table is of what was tried", file=sys.stderr)
    exit_code = conclude({name: row for name, row in rows.items() if row.tried}, str(root))
    if not exit_code and not options.root:
        shutil.rmtree(root, ignore_errors=True)
    return exit_code


def conclude(rows: Mapping[str, Row], place: str) -> int:
    """Print the table and each loss; the exit code: 1 if anything was lost."""
    print("\n".join(table(rows)))
    lost = [f"{name}: {loss}" for name, row in rows.items() for loss in row.losses]
    if lost:
        print("\n".join(["", *lost, f"what was lost lies in {place}"]))
    return 1 if lost else 0


def told_before(files: Sequence[Path]) -> dict[str, Row]:
    """The rows of several goes, in the order in which faults were first tried."""
    rows: dict[str, Row] = {}
    for file in files:
        for line in file.read_text(encoding="utf-8").splitlines():
            told = json.loads(line)
            note(rows.setdefault(told["fault"], Row()), Trial(told["seen"], told["lost"]), told["seconds"])
    return rows


def note(row: Row, trial: Trial, seconds: float) -> None:
    row.tried, row.seconds = row.tried + 1, row.seconds + seconds
    if trial.lost:
        row.losses.append(trial.lost)


def tell(options: argparse.Namespace, name: str, number: int, trial: Trial, seconds: float) -> None:
    """One try as a line, for who watches and for a table over several goes."""
    verdict = "LOST" if trial.lost else "ok"
    print(f"{verdict:<5} {name} {number} ({seconds:.1f} s): {trial.seen} {trial.lost}", flush=True)
    if options.told:
        values = {"fault": name, "number": number, "seed": options.seed, "seconds": round(seconds, 2)}
        with options.told.open("a", encoding="utf-8") as file:
            file.write(json.dumps(values | {"seen": trial.seen, "lost": trial.lost}) + "\n")


if __name__ == "__main__":
    sys.exit(main())
