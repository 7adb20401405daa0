"""`finetui clean`: what could be freed on the disk, and freeing what is named.

Not here: what can be spared and how it is removed (`engine/cleaning`), and how it is told (`spares_text`).
"""

from __future__ import annotations

import argparse
import json
import re
import sys
import time
from collections.abc import Iterable, Sequence

from data.nearest import nearest
from engine.cleaning import Spare, in_use, last_change, removed, runs_here, spares_around, spares_of, whole_run
from engine.errors import RecipeError, RunDirError
from engine.run_dir import RunDir, cache_dir, finetui_home, runs_root
from engine.run_format import refuse_newer
from engine.units import format_bytes
from tui_app.desk_commands.spares_text import KINDS, overview, path_lines, values
from tui_app.plain import one_line

HELP = "what could be freed on the disk, and freeing what is named"
USAGE = "[OPTIONS]"
OF_RUNS = ("checkpoints", "rows", "exports", "logs", "runs")
SECONDS = {"h": 3600, "d": 86400, "w": 7 * 86400}


def add(parser: argparse.ArgumentParser) -> None:
    told = {
        "checkpoints": "of runs that are trained, and earlier ones of others",
        "rows": "of trained runs, as tokens",
        "exports": "in the folders of runs; they can be made again",
        "logs": "of trained runs",
        "runs": "whole runs, with their results",
    }
    for name, text in told.items():
        parser.add_argument(f"--{name}", metavar="RUN", nargs="*", help=text)
    parser.add_argument("--cache", metavar="NAME", nargs="*", help="what is worked out again; a model that runs need")
    parser.add_argument("--leftovers", action="store_true", help="of what was cut off: checkpoints, exports")
    parser.add_argument("--drafts", action="store_true", help="the wizard's last draft, and the last traceback")
    parser.add_argument("--older-than", metavar="TIME", help="only what nothing was written to since: 12h, 30d, 8w")
    parser.add_argument("--keep", metavar="N", type=int, help="newest checkpoints that stay; 0 of a named run: none")
    parser.add_argument("--dry-run", action="store_true", help="only show what would be removed")
    parser.add_argument("--yes", action="store_true", help="do not ask")
    parser.add_argument("--json", action="store_true", help="one JSON object")
    parser.epilog = "Without options: a table of what could be freed. Without RUN: of every run."


def run(options: argparse.Namespace) -> int:
    asked = [kind for kind in KINDS if getattr(options, kind) not in (None, False)]
    limit = _before(options.older_than)
    if not asked:
        if options.yes or options.keep is not None:
            raise RecipeError("What to remove is not said.", remedy="For example: finetui clean --checkpoints")
        return _overview(options, limit)
    if options.keep is not None and (options.keep < 0 or "checkpoints" not in asked):
        raise RecipeError("--keep N is how many checkpoints stay.", remedy="finetui clean --checkpoints --keep 1")
    if options.runs == [] and limit is None:
        raise RecipeError(
            "Which runs is not said.",
            means="A run is removed with its result, so it has to be named.",
            remedy="finetui clean --runs RUN…, or --runs --older-than 30d",
        )
    found = [each for kind in asked for each in _chosen(kind, options) if limit is None or _age_of(each) < limit]
    if not found:
        print(json.dumps(values([], [], is_done=False)) if options.json else "Nothing to remove.")
        return 0
    if not options.json:
        print("\n".join(path_lines(found)))
    if not options.dry_run:
        _require_yes(options, found)
        return _carry_out(options, found)
    if options.json:
        print(json.dumps(values(found, [], is_done=False)))
    else:
        print(f"would free {format_bytes(sum(each.num_bytes for each in found))}; nothing was removed")
    return 0


def _carry_out(options: argparse.Namespace, found: Sequence[Spare]) -> int:
    """Remove them; 9 where something could not be."""
    gone, faults = [], dict[str, RunDirError]()
    for spare, fault in removed(found):
        if fault:
            faults.setdefault(str(fault), fault)
        else:
            gone.append(spare)
    if options.json:
        print(json.dumps(values(gone, [fault.happened for fault in faults.values()], is_done=True)))
    else:
        print(f"freed {format_bytes(sum(each.num_bytes for each in gone))}")
    for fault in faults.values():
        print(one_line(f"finetui: {fault.happened} {fault.means}"), file=sys.stderr)
        if fault.remedy:
            print(one_line(fault.remedy), file=sys.stderr)
    return RunDirError.exit_code if faults else 0


def _require_yes(options: argparse.Namespace, found: Sequence[Spare]) -> None:
    """Raises RecipeError where nobody says yes."""
    if options.yes:
        return
    size = format_bytes(sum(each.num_bytes for each in found))
    if options.json or not sys.stdin.isatty():
        raise RecipeError(
            f"Nobody is here to be asked whether {size} may be removed.",
            means="Nothing was removed.",
            remedy="Add --yes; --dry-run only shows it.",
        )
    print(f"Remove {'these' if len(found) > 1 else 'this'}, {size}? [y/N] ", end="", flush=True)
    if sys.stdin.readline().strip().lower() not in ("y", "yes"):
        raise RecipeError("Nothing was removed.")


def _chosen(kind: str, options: argparse.Namespace) -> Iterable[Spare]:
    """What is asked for of a kind. Raises RunDirError for a named run that is in use, RecipeError for no such name."""
    home, cache, named = finetui_home(), cache_dir(), getattr(options, kind)
    runs = [_free(_named(name)) for name in named] if kind in OF_RUNS and named else _idle()
    if kind == "runs":
        return list(map(whole_run, dict.fromkeys(runs)))
    if kind == "leftovers":
        around = [each for each in spares_around(home, cache) if each.kind == kind]
        return [*around, *(each for run in runs for each in spares_of(run) if each.kind == kind)]
    if kind in OF_RUNS:
        keep = options.keep
        if keep == 0 and not named:  # the only checkpoint of a run that can be resumed goes where it is named
            keep = None
        return [each for run in dict.fromkeys(runs) for each in spares_of(run, keep) if each.kind == kind]
    found = [each for each in spares_around(home, cache) if each.kind == kind]
    if kind == "cache" and named:
        known = {each.path.name: each for each in found}
        if absent := [name for name in named if name not in known]:
            near = nearest(absent[0], known)
            raise RecipeError(
                f"The cache holds nothing called {one_line(absent[0])!r}.",
                means="Nothing was removed.",
                remedy=f"Did you mean {' or '.join(near)}?" if near else "`finetui clean` lists it.",
            )
        return [known[name] for name in dict.fromkeys(named)]
    return [each for each in found if not each.needed_by]


def _named(name: str) -> RunDir:
    """The run of that name. Raises RunDirError for none, and for a link: what it leads to was not named."""
    run, place = RunDir.open(name), runs_root() / name
    if place.is_symlink():
        raise RunDirError(
            f"{place} is a link to {run.path}.",
            means="Links are not followed; nothing was removed.",
            remedy=f"Name the folder itself: {run.path}",
        )
    return run


def _free(run: RunDir) -> RunDir:
    """The run, if something of it may be removed. Raises RunDirError."""
    refuse_newer(run)
    if why := in_use(run):
        raise RunDirError(
            why[:1].upper() + why[1:] + ".",
            means="Nothing was removed.",
            remedy=f"Wait for its end, or end it: finetui stop {run.typed}",
        )
    return run


def _idle() -> list[RunDir]:
    """Every run that something may be removed of."""
    found = []
    for run in runs_here(finetui_home()):
        try:
            found.append(_free(run))
        except RunDirError:
            continue
    return found


def _age_of(spare: Spare) -> float:
    """Unix time of its last change; of what belongs to a run, the run's."""
    return last_change(spare.run) if spare.run else spare.path.lstat().st_mtime


def _before(written: str | None) -> float | None:
    """The Unix time that is so long ago. Raises RecipeError."""
    if written is None:
        return None
    match = re.fullmatch(r"(\d{1,5})([hdw])", written.strip())
    if match is None:
        raise RecipeError(f"{one_line(written)!r} is no time.", remedy="Write it as 12h, 30d or 8w.")
    return time.time() - int(match[1]) * SECONDS[match[2]]


def _overview(options: argparse.Namespace, limit: float | None) -> int:
    home, cache = finetui_home(), cache_dir()
    idle = _idle()
    busy = len(runs_here(home)) - len(idle)
    found = [*spares_around(home, cache), *(each for run in idle for each in spares_of(run)), *map(whole_run, idle)]
    found = [each for each in found if limit is None or _age_of(each) < limit]
    if options.json:
        print(json.dumps(values(found, [], is_done=False)))
    else:
        print("\n".join(overview(found, busy, options.older_than)))
    return 0
