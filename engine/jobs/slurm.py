"""A Slurm job: `job.sbatch`, which carries out the recipe beside it and goes on with it after each interruption.

The script's second half is the same for every job (`job_script`); here are its directives and settings.
"""

from __future__ import annotations

import math
import re
import shlex

from engine.bundled_models import PREFIX
from engine.foreign_code import confirming_commands
from engine.jobs.job import NODES, RECIPE_FILE, Job, JobEngine, JobFiles, JobOption, Settings, refused
from engine.jobs.job_script import SLURM_BODY
from engine.jobs.words import gpus_per_node, number, plain_name, size_in_gib
from engine.units import GIB

SCRIPT_FILE = "job.sbatch"
TIME = re.compile(r"\d{1,5}(:\d{1,2}){0,2}|\d{1,3}-\d{1,2}(:\d{1,2}){0,2}", re.ASCII)
GRACE_SECONDS = 300
CPUS_PER_CARD = 8
CPUS_WITHOUT_CARD = 8
OPTIONS = (
    JobOption("partition", "NAME", "partition; unset: the cluster's default"),
    JobOption("account", "NAME", "account that is charged"),
    JobOption("qos", "NAME", "quality of service"),
    JobOption("time", "D-HH:MM:SS", "limit of one stretch; at its end the job goes on anew"),
    JobOption("grace", "SECONDS", f"so long before the limit it saves ({GRACE_SECONDS})"),
    NODES,
    JobOption("gpus", "[TYPE:]N", "cards on each host (one a process); 0 for none"),
    JobOption("cpus", "N", f"cores on each host ({CPUS_PER_CARD} a card)"),
    JobOption("mem", "SIZE", "RAM of each host (predicted)"),
    JobOption("run-root", "DIR", "where the run lies, reached from all hosts"),
    JobOption("env-setup", "LINE", "shell line before it starts: 'module load cuda'", is_repeated=True),
    JobOption("finetui", "PATH", "the program on the cluster (the one used here)"),
)


def make(job: Job, settings: Settings) -> JobFiles:
    """The script and the recipe. Pure. Raises RecipeError for options that cannot be applied."""
    directives = _directives(job, settings)
    script = "\n".join(
        [
            "#!/bin/bash",
            *(f"#SBATCH --{directive}" for directive in directives),
            "",
            f"# finetui {job.version} wrote this: it carries out {RECIPE_FILE}, beside this file, without a terminal.",
            *_settings(job, settings),
            SLURM_BODY,
        ]
    )
    notes = [f"The hosts of the cluster must reach {path}." for path in _local_paths(job)]
    model = job.recipe.model
    if not model.name_or_path.startswith(("/", PREFIX)) and not model.offline:
        notes.append(
            f"Hosts without a network: `hf download {model.name_or_path}` first, and --set model.offline=true."
        )
    if not settings.get("time"):
        notes.append("Without --time the partition's own limit holds; some clusters want one.")
    if not settings.get("mem") and job.needs.ram_bytes is None:
        notes.append("How much RAM it needs is not known; give --mem where the cluster's default is small.")
    where = str(job.folder / SCRIPT_FILE)
    return JobFiles({SCRIPT_FILE: script, RECIPE_FILE: job.recipe.to_toml()}, ("sbatch", where), tuple(notes))


def _directives(job: Job, settings: Settings) -> list[str]:
    """What the scheduler is told, without `#SBATCH --`."""
    nodes = job.recipe.distributed.nnodes
    kind, cards = gpus_per_node(job.recipe, _text(settings, "gpus"), uses_card=job.needs.uses_card)
    cpus = _text(settings, "cpus")
    cores = number("cpus", cpus, least=1, most=4096) if cpus else max(CPUS_PER_CARD * cards, CPUS_WITHOUT_CARD)
    grace = number("grace", _text(settings, "grace") or str(GRACE_SECONDS), least=30, most=65535)
    told = [f"job-name={job.name}"]
    named = [(flag, _text(settings, flag)) for flag in ("partition", "account", "qos")]
    told += [f"{flag}={plain_name(flag, name)}" for flag, name in named if name]
    told += [f"nodes={nodes}", "ntasks-per-node=1", f"cpus-per-task={cores}"]
    if cards:
        told.append(f"gpus-per-node={kind}{':' if kind else ''}{cards}")
    if memory := _memory(job, settings):
        told.append(f"mem={memory}")
    if time := _text(settings, "time"):
        if not TIME.fullmatch(time):
            raise refused(f"--time {time!r} is no time of Slurm.", "Write 12:00:00, 1-12:00:00, or minutes.")
        told.append(f"time={time}")
    told += ["output=%x-%j.out", "open-mode=append", "requeue", f"signal=B:USR1@{grace}"]
    return told


def _memory(job: Job, settings: Settings) -> str:
    if given := _text(settings, "mem"):
        return size_in_gib("mem", given)
    return f"{math.ceil(job.needs.ram_bytes / GIB)}G" if job.needs.ram_bytes else ""


def _settings(job: Job, settings: Settings) -> list[str]:
    """The lines between the directives and the body: everything that somebody may want to change."""
    given = _text(settings, "finetui")
    program = [given] if given else list(job.program)
    root = _text(settings, "run_root") or job.recipe.run.root or str(job.run_root)
    lines = settings.get("env_setup") or []
    for line in lines:
        if "\0" in line or "\r" in line:
            raise refused("--env-setup holds a control character.", "Give one shell line for each --env-setup.")
    return [
        f"name={shlex.quote(job.name)}",
        f"run_root={shlex.quote(root)}  # every host must reach it",
        *lines,
        f'finetui() {{ command {shlex.join(program)} "$@"; }}',
        *confirming_commands(job.recipe),
    ]


def _local_paths(job: Job) -> list[str]:
    """What the recipe reads from this machine's disks."""
    recipe = job.recipe
    named = (
        *(recipe.model.name_or_path, recipe.data.dataset, recipe.data.eval_dataset, recipe.data.test_dataset),
        *(recipe.evaluation.grammar, recipe.distributed.deepspeed),
    )
    return list(dict.fromkeys(path for path in named if path and path.startswith("/")))


def _text(settings: Settings, key: str) -> str | None:
    value = settings.get(key)
    return value if isinstance(value, str) else None


ENGINE = JobEngine("slurm", "sbatch script: saves before the time limit, goes on when requeued", OPTIONS, make)
