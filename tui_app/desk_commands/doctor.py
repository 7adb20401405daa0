"""`finetui doctor`: what keeps this machine, a model or a run from working, and the command that mends it."""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path

from engine.doctor import Asked, Finding, ModelAsked, diagnose, worst
from engine.doctor.failed_runs import is_run
from engine.errors import DiagnosisError, RecipeError
from engine.run_dir import RunDir, runs_root
from tui_app.desk_commands.doctor_terminal import terminal
from tui_app.plain import one_line, printable
from tui_app.recipe_source import source_of

HELP = "check this machine and say how to mend it"
USAGE = "[OPTIONS] [PRESET|RECIPE|RUN]"
WIDTH = 80
NAMES = 18
"""Columns of a finding's name, after its status."""


def add(parser: argparse.ArgumentParser) -> None:
    subject = parser.add_mutually_exclusive_group()
    subject.add_argument("subject", nargs="?", metavar="PRESET|RECIPE|RUN", help="its model too, and why a run failed")
    subject.add_argument("--model", metavar="MODEL", help="a hub id, folder or file: can it be had and trained here?")
    parser.add_argument("--quick", action="store_true", help="import no library, ask no hub: a second instead of ten")
    parser.add_argument("--offline", action="store_true", help="send nothing")
    parser.add_argument("--json", action="store_true", help="one JSON object per finding")


def run(options: argparse.Namespace) -> int:
    asked = asked_for(options)
    if sys.stderr.isatty() and not asked.is_quick:
        print("Importing every library takes about ten seconds ...", file=sys.stderr)
    found: list[Finding] = []
    for title, findings in areas(asked):
        found.extend(findings)
        if options.json:
            for finding in findings:
                print(json.dumps({"area": title} | dataclasses.asdict(finding)), flush=True)
        else:
            print("\n".join([title, *area_lines(title, findings), ""]), flush=True)
    if not options.json:
        print("\n".join(summary_lines(found)))
    return DiagnosisError.exit_code if worst(found) == "fail" else 0


def areas(asked: Asked) -> Iterator[tuple[str, tuple[Finding, ...]]]:
    """The engine's areas, with the terminal, which it knows nothing of, after the machine."""
    for title, findings in diagnose(asked):
        yield title, findings
        if title == "machine":
            yield "terminal", tuple(terminal(os.environ))


def asked_for(options: argparse.Namespace) -> Asked:
    """What the command line asks for. Raises RecipeError for a word that stands for nothing."""
    root = runs_root()
    model, run_dir = None, None
    if options.model:
        model = ModelAsked(options.model, Path.cwd())
    elif options.subject:
        for path in (root / options.subject, Path(options.subject)):
            run_dir = run_dir or (RunDir(path.resolve()) if is_run(path) else None)
        try:
            source = source_of(options.subject, ())
        except RecipeError:
            if run_dir is None:
                raise
        else:
            asked = source.recipe.model
            root = Path(source.recipe.run.root).expanduser() if source.recipe.run.root else root
            model = ModelAsked(
                asked.name_or_path, source.base_dir, asked.revision, asked.offline, asked.trust_remote_code
            )
    return Asked(root, model, run_dir, is_quick=options.quick, is_offline=options.offline)


def area_lines(title: str, findings: tuple[Finding, ...]) -> list[str]:
    """An area's findings; libraries that are as they should be take one paragraph."""
    lines = []
    good = [finding for finding in findings if title == "libraries" and finding.status == "ok"]
    if good:
        names = ", ".join(f"{finding.name} {finding.found.partition(',')[0]}" for finding in good)
        state = "as tested" + (", each imports" if any("imports" in finding.found for finding in good) else "")
        lines += finding_lines(Finding(f"{len(good)} libraries", "ok", f"{state}: {names}"))
    for finding in findings:
        if finding not in good:
            lines += finding_lines(finding)
    return lines


def finding_lines(finding: Finding) -> list[str]:
    """Status, name and text in 80 columns; what mends it below, the command on a line of its own to be copied."""
    head = f"  {finding.status:<4} {one_line(finding.name):<{NAMES}} "
    lines = textwrap.wrap(
        one_line(finding.found),
        WIDTH,
        initial_indent=head,
        subsequent_indent=" " * (7 + NAMES + 1),
        break_on_hyphens=False,
        break_long_words=False,
    ) or [head.rstrip()]
    if finding.status != "ok":
        lines += mending_lines(finding)
    return lines


def mending_lines(finding: Finding) -> list[str]:
    indent = " " * (7 + NAMES + 1)
    lines = textwrap.wrap(
        one_line(finding.remedy),
        WIDTH,
        initial_indent=indent,
        subsequent_indent=indent,
        break_on_hyphens=False,
        break_long_words=False,
    )
    return [*lines, f"       $ {printable(finding.command)}"] if finding.command else lines


def summary_lines(found: list[Finding]) -> list[str]:
    """The problems once more, the first to be mended first, and the number of warnings."""
    failed = [finding for finding in found if finding.status == "fail"]
    warned = [finding for finding in found if finding.status == "warn"]
    warnings = f"{len(warned)} warning{'s' if len(warned) != 1 else ''}: {', '.join(each.name for each in warned)}"
    if not failed:
        done = "No problem found."
        return textwrap.wrap(f"{done} {warnings}." if warned else done, WIDTH, break_on_hyphens=False)
    many = "1 problem:" if len(failed) == 1 else f"{len(failed)} problems, mend first: {one_line(failed[0].name)}"
    lines = [many]
    for number, finding in enumerate(failed, 1):
        lines.append(f"  {number}. {one_line(finding.name)}")
        if finding.command or finding.remedy:
            lines.append(f"     {'$ ' + printable(finding.command) if finding.command else one_line(finding.remedy)}")
    return [*lines, *(textwrap.wrap(f"{warnings}.", WIDTH, break_on_hyphens=False) if warned else [])]
