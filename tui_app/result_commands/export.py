"""`finetui export`: what a trained run is turned into, asked of its supervisor and watched from here.

Not here: making the artifacts (`engine.exporters`), and the table's words on the screens.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import json
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

from data.nearest import nearest
from engine.errors import RecipeError
from engine.jobs.engines import JOB_ENGINES, job_engine
from engine.run_dir import RunDir
from engine.units import format_bytes
from tui_app.plain import one_line

if TYPE_CHECKING:
    from engine.events import ArtifactExported
    from engine.recipe import Recipe

HELP = "merged, gguf, ollama, notebook, hub; a Slurm or SkyPilot job"
USAGE = "[OPTIONS] RUN --to KIND[,KIND]"
REPO = re.compile(r"[\w.-]{1,96}/[\w.-]{1,96}", re.ASCII)
MAX_ROWS = 100_000


def add(parser: argparse.ArgumentParser) -> None:
    add_argument = parser.add_argument
    add_argument("run", metavar="RUN", nargs="?", help="name or folder of a trained run")
    add_argument("--to", metavar="KIND[,KIND]", help="what to make (--list); a job: --to slurm --help")
    add_argument("--list", action="store_true", help="show the kinds and end")
    add_argument("--quantization", metavar="T[,T]", help="types of GGUF files: F16, Q8_0, Q6_K, Q5_K_M, Q4_K_M")
    add_argument("--imatrix", action="store_true", help="weigh GGUF rounding by your own rows (measured)")
    add_argument("--rows", metavar="N", type=int, help="rows that each artifact has to answer (32)")
    add_argument("-o", "--output", metavar="DIR", help="instead of the run's exports/")
    add_argument("--name", metavar="NAME", help="of the model, where a kind has one (ollama)")
    add_argument("--repo", metavar="OWNER/NAME", help="for hub: the repository")
    add_argument("--what", metavar="KIND", help="for hub: adapter (default), merged or gguf")
    add_argument("--private", action="store_true", help="for hub: create it private")
    add_argument("--push", action="store_true", help="for hub: do it, instead of showing what would be done")
    add_argument("--device", metavar="DEVICE", help="where the check computes: cpu (default) or cuda")
    add_argument("--force", action="store_true", help="make again what is up to date")
    add_argument("--detach", action="store_true", help="do not wait for it")
    add_argument("--json", action="store_true", help="the artifacts as one JSON object")


def run(options: argparse.Namespace) -> int:
    from engine.exporters import all_exporters

    if options.list:
        return _list(as_json=options.json)
    if options.run is None or not options.to:
        raise RecipeError(
            "`finetui export` needs a run and --to.",
            means="Nothing was exported.",
            remedy="For example: finetui export RUN --to gguf --quantization Q8_0 (kinds: "
            f"{', '.join(all_exporters())}; runs: `finetui runs`).",
        )
    from engine import requests
    from engine.recipe import Recipe, recipe_error
    from engine.starting import export_problems

    _kinds(options.to)  # before the run is looked for: whoever misspells a job names no run
    found = RunDir.open(options.run)
    recipe = Recipe.load(found.recipe)
    settings = settings_of(options, recipe)
    if problems := export_problems(recipe, _config(found), settings):
        raise recipe_error(problems)
    title = f"Export to {', '.join(settings['to'])}"
    return _asked(found, requests.ask, title, settings, options)


def settings_of(options: argparse.Namespace, recipe: Recipe) -> dict[str, Any]:
    """What the request says. Raises RecipeError for a word that means nothing and an option that cannot be applied."""
    from engine.exporters import in_order
    from engine.recipe_sections import ExportSection

    kinds = _kinds(options.to)
    types = list(get_args(ExportSection.model_fields["quantization"].annotation))
    wanted = _words("--quantization", options.quantization.upper(), types) if options.quantization else []
    what = _words("--what", options.what, ["adapter", "merged", "gguf"]) if options.what else ["adapter"]
    made = {*in_order(kinds), *(what if "hub" in kinds else ())}
    is_quantized = bool(made & {"gguf", "ollama"})
    for name, given, applies, needs in (
        ("--quantization", wanted, is_quantized, "gguf or ollama"),
        ("--imatrix", options.imatrix, is_quantized, "gguf or ollama"),
        ("--repo", options.repo, "hub" in kinds, "hub"),
        ("--what", options.what, "hub" in kinds, "hub"),
        ("--private", options.private, "hub" in kinds, "hub"),
        ("--push", options.push, "hub" in kinds, "hub"),
    ):
        if given and not applies:
            raise _refused(f"{name} is for {needs}, which --to {options.to} does not make.", f"Leave {name} out.")
    if "hub" in kinds and not REPO.fullmatch(options.repo or ""):
        told = f"{one_line(options.repo)!r} is no repository" if options.repo else "--to hub needs --repo"
        raise _refused(f"{told}.", "Name it as owner/name: --repo me/my-model")
    if options.rows is not None and not 1 <= options.rows <= MAX_ROWS:
        raise _refused(f"--rows {options.rows} is not between 1 and {MAX_ROWS}.", "Choose a number of rows.")
    if options.device and not re.fullmatch(r"cpu|cuda(:\d+)?", options.device):
        raise _refused(f"There is no device {one_line(options.device)!r}.", "Choose cpu, cuda or cuda:1.")
    return {
        "to": kinds,
        "quantizations": wanted or ([recipe.export.quantization] if is_quantized else []),
        "imatrix": options.imatrix,
        "rows": options.rows,
        "output": str(Path(options.output).expanduser().resolve()) if options.output else None,
        "force": options.force,
        "repo": options.repo,
        "what": what[0],
        "push": options.push,
        "private": options.private,
        "name": options.name,
        "device": options.device or "cpu",
    }


def _kinds(text: str) -> list[str]:
    """The kinds of artifacts after --to. Raises RecipeError, also for a job, which is made alone."""
    from engine.exporters import all_exporters

    kinds = _words("--to", text, [*all_exporters(), *JOB_ENGINES])
    if jobs := [kind for kind in kinds if kind in JOB_ENGINES]:
        raise _refused(f"A job ({jobs[0]}) is no artifact of a run.", f"Export it alone: --to {jobs[0]}")
    return kinds


def _words(option: str, text: str, known: list[str]) -> list[str]:
    """Words between commas, each once. Raises RecipeError naming the nearest one for a word that is not known."""
    words = list(dict.fromkeys(word.strip() for word in text.split(",") if word.strip()))
    for word in words:
        if word not in known:
            near = nearest(word, known)
            meant = f"Did you mean {near[0]}? " if near else ""
            raise _refused(f"{option} knows no {one_line(word)!r}.", f"{meant}It takes {', '.join(known)}.")
    if not words:
        raise _refused(f"{option} is empty.", f"It takes {', '.join(known)}.")
    return words


def _refused(happened: str, remedy: str) -> RecipeError:
    return RecipeError(happened, means="Nothing was exported.", remedy=remedy)


def _config(run: RunDir) -> dict[str, Any] | None:
    from engine.run_dir import read_json

    return read_json(run.model_config) if run.model_config.exists() else None


def _list(*, as_json: bool) -> int:
    from engine.exporters import all_exporters

    kinds = {name: each.HELP for name, each in all_exporters().items()}
    kinds |= {name: job_engine(name).help for name in JOB_ENGINES}
    if as_json:
        print(json.dumps(kinds))
    else:
        print("\n".join(f"{name:<10}{told}" for name, told in kinds.items()))
    return 0


def _asked(found: RunDir, ask: Any, title: str, settings: dict[str, Any], options: argparse.Namespace) -> int:
    """Ask for it, and watch it unless it is to go on alone; the exit code."""
    from tui_app.runs.following import num_starts_of, program, watch_request

    starts = num_starts_of(found)
    request = ask(found, "export", title, settings)
    if options.detach:
        if options.json:
            print(json.dumps({"run": found.name, "request": request.number}))
        else:
            print(f"request {request.number} of run {found.name} goes on: {program()} attach {found.typed}")
        return 0
    with contextlib.redirect_stdout(sys.stderr) if options.json else contextlib.nullcontext():
        exit_code, _state = watch_request(found, request.number, as_json=False, skip_starts=starts)
    made = artifacts_of(found, request.number)
    if options.json:
        values = [dataclasses.asdict(each) | {"path": _place(found, each)} for each in made]
        print(json.dumps({"run": found.name, "request": request.number, "exit_code": exit_code, "artifacts": values}))
    elif made:
        print("\n".join(["", *table(made), "", *next_steps(found, made, program())]))
    return exit_code


def artifacts_of(run: RunDir, number: int) -> list[ArtifactExported]:
    """What a request brought, each artifact once."""
    from engine.event_log import read_events
    from engine.events import ArtifactExported, RequestStarted

    made: dict[str, ArtifactExported] = {}
    current = 0
    for stamped in read_events(run.events):
        if isinstance(stamped.event, RequestStarted):
            current = stamped.event.number
        elif isinstance(stamped.event, ArtifactExported) and current == number:
            made[stamped.event.artifact] = stamped.event
    return list(made.values())


def table(made: list[ArtifactExported]) -> list[str]:
    """One line an artifact, as wide as 80 columns where names are not longer than usual."""
    head = ("artifact", "size", "type", "bits/w", "agree", "ppl", "s/answer")
    rows = [head, *(_cells(each) for each in made)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(head))]
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]


def _cells(each: ArtifactExported) -> tuple[str, ...]:
    change = each.perplexity_change
    return (
        one_line(each.artifact),
        format_bytes(each.num_bytes),
        one_line(each.file_type) or "-",
        "-" if each.bits_per_weight is None else f"{each.bits_per_weight:.2f}",
        "-" if each.agreement is None else f"{each.agreement:.1%}",
        "-" if change is None else f"{change:+.1%}",
        "-" if each.seconds_per_answer is None else f"{each.seconds_per_answer:.2f}",
    )


def next_steps(run: RunDir, made: list[ArtifactExported], program: str) -> list[str]:
    """Where it lies, and what to type now."""
    told = [f"{one_line(each.artifact)}: {one_line(_place(run, each))}" for each in made]
    kinds = {each.kind for each in made}
    if "hub" in kinds and not any("pushed" in note for each in made for note in each.notes):
        told.append("Nothing was sent. The same with --push does it.")
    if kinds & {"merged", "gguf"}:
        told.append(f"Next:  {program} chat {run.typed}      talk to it")
    return told


def _place(run: RunDir, each: ArtifactExported) -> str:
    """The artifact's whole path, or its address."""
    return each.path if "://" in each.path else str(run.path / each.path)
