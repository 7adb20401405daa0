"""`finetui export RECIPE --to slurm|skypilot`: a recipe as a job for a scheduler, written into a folder.

Not here: what stands in the files (`engine.jobs`), and exports of a trained run (`export`).
"""

from __future__ import annotations

import argparse
import itertools
import json
import re
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from data.file_modes import released, users_umask
from engine.errors import RecipeError, RunDirError
from engine.jobs.engines import JOB_ENGINES, job_engine
from engine.redaction import secret_in
from tui_app.plain import one_line
from tui_app.shell_words import shell_words

if TYPE_CHECKING:
    from collections.abc import Sequence

    from engine.jobs.job import Job, JobFiles, JobOption
    from tui_app.recipe_source import Source

USAGE = "PRESET|RECIPE|RUN --to {} [OPTIONS]"


def engine_asked(words: Sequence[str]) -> str | None:
    """The scheduler that the words of `finetui export` name after --to; None where they name artifacts."""
    for word, following in itertools.zip_longest(words, words[1:], fillvalue=""):
        if (kinds := _kinds_of(word, following)) and len(kinds) == 1 and kinds[0] in JOB_ENGINES:
            return kinds[0]
    return None


def _kinds_of(word: str, following: str) -> list[str]:
    text = following if word == "--to" else word.removeprefix("--to=") if word.startswith("--to=") else ""
    return [kind.strip() for kind in text.split(",") if kind.strip()]


def add(parser: argparse.ArgumentParser, name: str) -> None:
    """The options of one scheduler's job."""
    add_argument = parser.add_argument
    add_argument("source", metavar="PRESET|RECIPE|RUN", help=argparse.SUPPRESS)
    add_argument("--to", metavar=name, required=True, help=argparse.SUPPRESS)
    for option in job_engine(name).options:
        _add_option(parser, option)
    if name == "skypilot":
        add_argument("--device", metavar="CARD", help="the card by its name here: t4, l4, a100-80gb")
    add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="override section.key of the recipe")
    add_argument("--name", metavar="NAME", help="of the job and its run (the recipe's)")
    add_argument("-o", "--output", metavar="DIR", help="folder for the job's files (./NAME-" + name + ")")
    add_argument("--force", action="store_true", help="write over other files of those names")
    add_argument("--json", action="store_true", help="what was written as one JSON object")


def _add_option(parser: argparse.ArgumentParser, option: JobOption) -> None:
    if not option.metavar:
        parser.add_argument(f"--{option.flag}", action="store_const", const="yes", help=option.help)
    elif option.is_repeated:
        parser.add_argument(f"--{option.flag}", metavar=option.metavar, action="append", help=option.help)
    else:
        parser.add_argument(f"--{option.flag}", metavar=option.metavar, help=option.help)


def run(options: argparse.Namespace) -> int:
    """Write the job and say what to type next; the exit code. Raises FinetuiError."""
    engine = job_engine(options.to)
    settings = {option.key: getattr(options, option.key) for option in engine.options}
    _refuse_secrets({**settings, "name": options.name})
    for key, value in settings.items():
        if any("\n" in word or not word.strip() for word in ([value] if isinstance(value, str) else value or [])):
            flag = key.replace("_", "-")
            raise RecipeError(f"--{flag} is empty or several lines.", means="No job was written.", remedy="Mend it.")
    job = job_of(options)
    made = engine.make(job, settings)
    written = write(made, job.folder, force=options.force)
    if options.json:
        told = {"job": job.name, "engine": engine.name, "folder": str(job.folder), "files": sorted(made.files)}
        print(json.dumps(told | {"command": list(made.command), "notes": list(made.notes)}))
        return 0
    for name in sorted(made.files):
        print(f"{'wrote' if name in written else 'as it was'}: {one_line(str(job.folder / name))}")
    for note in made.notes:
        print(f"note: {one_line(note)}")
    print(f"Next:  {shell_words(made.command)}")
    return 0


def _refuse_secrets(settings: dict[str, str | list[str] | None]) -> None:
    for key, value in settings.items():
        for word in [value] if isinstance(value, str) else value or []:
            if kind := secret_in(word):
                raise RecipeError(
                    f"--{key.replace('_', '-')} holds {kind}.",
                    means="A job's files are kept, shared and shown; nothing was written.",
                    remedy="Leave it out: put it into the environment or ~/.netrc of the machine where the job runs.",
                )


def job_of(options: argparse.Namespace) -> Job:
    """The recipe with all that a job needs to know of it. Raises FinetuiError."""
    from importlib.metadata import version

    from engine.foreign_code import refuse_unconfirmed
    from engine.hardware import read_hardware
    from engine.jobs.job import Job
    from engine.jobs.needs import is_meant_for_cpu, needs_of
    from engine.jobs.words import gpus_of
    from engine.model_facts import shape_for
    from engine.run_dir import runs_root
    from engine.starting import with_absolute_paths
    from tui_app.recipe_source import source_of

    source = source_of(options.source, [*options.set, *_hosts(options.nodes)])
    recipe = with_absolute_paths(source.recipe, source.base_dir)
    refuse_unconfirmed(recipe)
    _refuse_absent(recipe, source.base_dir)
    shape, _ = shape_for(recipe, source.base_dir)
    card = _card_key(getattr(options, "device", None))
    if options.gpus is not None:
        uses_card = gpus_of(options.gpus)[1] > 0
    else:
        uses_card = bool(card) or not (_ran_on_cpu(source) or is_meant_for_cpu(recipe))
    if card and not uses_card:
        raise RecipeError("--device names a card, --gpus 0 none.", means="No job was written.", remedy="Give one.")
    name = _slug(options.name or recipe.run.name or source.name)
    folder = Path(options.output).expanduser() if options.output else Path(f"{name}-{options.to}")
    return Job(
        name=name,
        folder=folder.absolute(),
        recipe=recipe,
        needs=needs_of(recipe, read_hardware(), shape, uses_card=uses_card),
        program=_program(),
        version=version("finetui"),
        run_root=runs_root().absolute(),
        cards=card,
    )


def _hosts(nodes: str | None) -> list[str]:
    """What --nodes sets. Where the hosts meet is known once the job has them: its script says it then."""
    from engine.jobs.words import number

    if nodes is None:
        return []
    count = number("nodes", nodes, least=1, most=4096)
    meeting = ["distributed.rdzv_endpoint=first-host:29400"] if count > 1 else ["distributed.rdzv_endpoint="]
    return [f"distributed.nnodes={count}", *meeting]


def write(made: JobFiles, folder: Path, *, force: bool) -> list[str]:
    """Write the files that are not there as they should be; their names. Raises RunDirError, nothing half-written."""
    from engine.run_dir import write_atomic

    changed = [name for name, text in made.files.items() if _content(folder / name) != text]
    in_the_way = [name for name in changed if (folder / name).exists()]
    if in_the_way and not force:
        raise RunDirError(
            f"{folder} already holds another {' and '.join(sorted(in_the_way))}.",
            means="Nothing was written.",
            remedy="Choose another folder with -o, or write over it with --force.",
        )
    try:
        with users_umask():
            folder.mkdir(parents=True, exist_ok=True)
    except OSError as fault:
        raise RunDirError(
            f"{folder} cannot be made: {fault.strerror}.", means="Nothing was written.", remedy="Choose another: -o DIR"
        ) from fault
    for name in changed:
        write_atomic(folder / name, made.files[name])
        released(folder / name)
    return changed


def _content(path: Path) -> str | None:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return None


def _refuse_absent(recipe: object, base_dir: Path) -> None:
    from engine.data_request import missing_rows
    from engine.recipe import Recipe

    assert isinstance(recipe, Recipe)
    if missing := missing_rows(recipe, base_dir):
        raise missing


def _card_key(device: str | None) -> str:
    from engine.cards import Card, find_card

    if device is None:
        return ""
    card = find_card(device)
    if not isinstance(card, Card):
        raise RecipeError(f"--device {device} is a size.", means="No job was written.", remedy="Name a card: t4, l4.")
    return card.key


def _ran_on_cpu(source: Source) -> bool:
    from engine.replaying import last_plan

    return source.run is not None and last_plan(source.run).device == "cpu"


def _slug(name: str) -> str:
    """As run folders are named, which the job's script looks for."""
    slug = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")
    return slug[:60].strip("-") or "run"


def _program() -> tuple[str, ...]:
    """How this finetui is called from a shell that knows nothing of its environment."""
    beside = Path(sys.executable).parent / "finetui"
    if beside.is_file():
        return (str(beside),)
    if found := shutil.which("finetui"):
        return (str(Path(found).absolute()),)
    return (sys.executable, "-P", "-m", "tui_app")
