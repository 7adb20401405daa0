"""What must be the same for a replay to mean something, and what differs.

Versions and device are compared before a replay starts and only warned of. Rows and model are compared by
the new run's own preparation stage, which has them in hand: it refuses. Not here: starting the run.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from engine.errors import ChangedError, RunDirError
from engine.migrations import migrated
from engine.plan import Plan
from engine.recipe import Recipe, values_of
from engine.run_dir import RunDir, read_json
from engine.run_format import UPGRADE, made_by
from engine.settling import settled
from engine.starting import Prospect, versions


def recipe_of(run: RunDir, overrides: Iterable[str] = ()) -> Recipe:
    """What a replay of a run carries out: its recipe, starting where its ladder ended. Raises RecipeError."""
    asked = Recipe.load(run.recipe)
    last = last_plan(run)
    if not last.rungs:
        return Recipe.load(run.recipe, overrides=overrides)
    return Recipe.parse(settled(asked, last).to_toml(), name=str(run.recipe), overrides=overrides)


def last_plan(run: RunDir) -> Plan:
    """The newest plan of a run. Raises RunDirError if it cannot be read."""
    path = run.newest_plan_file()
    try:
        return Plan.from_json(read_json(path))
    except ValueError as fault:
        raise RunDirError(
            f"{path} cannot be read: {fault}.",
            means="Where the run's ladder ended cannot be told.",
            remedy=f"A newer finetui made the run. Upgrade: {UPGRADE}"
            if made_by(run).is_newer
            else f"Start anew from its recipe: finetui replay {run.recipe}",
        ) from fault


def differences(run: RunDir, found: Prospect) -> list[str]:
    """What differs by name between a recorded run and this machine now. Raises RunDirError if damaged."""
    try:
        return _differences(run, read_json(run.manifest), found)
    except (KeyError, TypeError, AttributeError) as fault:
        raise RunDirError(
            f"{run.manifest} is no manifest: {fault}.",
            means="From what this run was made cannot be told.",
            remedy=f"Start anew from its recipe: finetui replay {run.recipe}",
        ) from fault


def _differences(run: RunDir, then: dict[str, Any], found: Prospect) -> list[str]:
    told = []
    if rungs := last_plan(run).rungs:
        told.append(f"its ladder ({', '.join(dict.fromkeys(rungs))}) is gone down from the start")
    for name, version in versions().items():
        if then["versions"].get(name) != version:
            told.append(f"{name} {version}, was {then['versions'].get(name)}: losses may differ in the last digits")
    if (then["device"], then["device_name"]) != (found.plan.device, found.plan.device_name):
        told.append(f"device {found.plan.device_name}, was {then['device_name']}: losses will differ slightly")
    told += _ranks_differ(last_plan(run), found.plan)
    changed = changed_fields(recipe_of(run), found.recipe)
    if is_edited(run, then):
        changed.append("an edited recipe.toml")
    if changed:
        told.append(f"the recipe ({', '.join(changed)}): the result will differ")
    if then["hardware"].get("num_cores") != found.hardware.num_cores:
        told.append(f"{found.hardware.num_cores} cores, was {then['hardware'].get('num_cores')}: sums may round apart")
    return told


def is_edited(run: RunDir, manifest: Mapping[str, Any]) -> bool:
    """Whether the recipe of a run says something else than when the run was made, as far as that is known.

    A hash is of all fields there were: it tells nothing once a version has added some. Manifests have the recipe itself
    since; of one without it the hash counts only where recipe.toml names every field of today.
    """
    now = Recipe.load(run.recipe)
    if isinstance(then := manifest.get("recipe"), dict):
        return Recipe.from_values(migrated(then)[0]).sha256() != now.sha256()
    written = values_of(run.recipe.read_text(encoding="utf-8"))
    named = now.model_dump(mode="json", exclude_none=True)
    is_of_today = all(
        name in written and (not isinstance(fields, dict) or set(fields) <= set(written[name]))
        for name, fields in named.items()
    )
    return bool(is_of_today and manifest["recipe_sha256"] != now.sha256())


def _ranks_differ(then: Plan, now: Plan) -> list[str]:
    """Another number of processes, and the accumulation that keeps the effective batch size where there is one."""
    if then.world_size == now.world_size:
        return []
    told = f"{now.world_size} processes, were {then.world_size}"
    if now.effective_batch_size == then.effective_batch_size:
        return [f"{told}: the effective batch size is kept, sums may round apart"]
    keeps, left = divmod(then.effective_batch_size, now.per_device_train_batch_size * now.world_size)
    remedy = f"; --set training.gradient_accumulation_steps={keeps} keeps it" if keeps and not left else ""
    sizes = f"{now.effective_batch_size}, was {then.effective_batch_size}"
    return [f"{told}: the effective batch size is {sizes}{remedy}"]


def changed_fields(before: Recipe, now: Recipe) -> list[str]:
    """Dotted names of fields with their old and new values."""
    old, new = before.model_dump(mode="json"), now.model_dump(mode="json")
    return [
        f"{section}.{field} {value} -> {new[section][field]}"
        for section, fields in old.items()
        if isinstance(fields, dict) and section != "run"
        for field, value in fields.items()
        if new[section][field] != value
    ]


def expectations(run: RunDir, recipe: Recipe, *, allow_changes: bool) -> dict[str, Any]:
    """What the new run's preparation must find again: hashes of the model's files and of each split.

    Parts the recipe was changed in on purpose are not expected. A run that never got that far expects nothing.
    """
    before = Recipe.load(run.recipe)
    expected: dict[str, Any] = {"run": run.name, "allow_changes": allow_changes}
    if run.model.exists() and before.model.name_or_path == recipe.model.name_or_path:
        expected["model"] = {file["name"]: file["sha256"] for file in read_json(run.model)["files"]}
    if run.prepared.exists() and (before.data, before.model) == (recipe.data, recipe.model):
        record = read_json(run.prepared)
        expected["rows"] = {name: split["sha256"] for name, split in record["splits"].items()}
        expected["rows"]["test"] = record["test"]["sha256"]
    return expected


def check(run: RunDir) -> list[str]:
    """Compare a prepared run with what its replay expects; what was allowed to differ.

    Raises ChangedError naming every file and split that differs, unless changes were allowed.
    """
    path = run.path / "expected.json"
    if not path.exists():
        return []
    expected = read_json(path)
    found = {"model": {file["name"]: file["sha256"] for file in read_json(run.model)["files"]}}
    record = read_json(run.prepared)
    found["rows"] = {name: split["sha256"] for name, split in record["splits"].items()}
    found["rows"]["test"] = record["test"]["sha256"]
    told = []
    for part, name_of in (("model", "model file {}"), ("rows", "the {} rows")):
        wanted = expected.get(part)
        if wanted is None:
            continue
        changed = sorted(name for name in {*wanted, *found[part]} if wanted.get(name) != found[part].get(name))
        told += [name_of.format(name) for name in changed]
    if told and not expected["allow_changes"]:
        raise ChangedError(
            f"This is not what {expected['run']} was made from: {', '.join(told)} changed since.",
            means="The replay would give another result under the same name, so it does not start.",
            remedy="Bring the files back, or replay with --allow-changes.",
        )
    return told
