"""`finetui eval`: base, tuned model and exports answer the same rows, and one table tells who is better.

The work is a request to a supervisor, so it goes on without the terminal. Not here: which words name what
(`engine.evaluation.targets`), the table (`tui_app/result_table`) and rows one by one (`tui_app/changed_rows`).
"""

from __future__ import annotations

import argparse
import contextlib
import json
import shlex
import sys
from typing import TYPE_CHECKING, Any

from engine.errors import RecipeError
from tui_app.data_options.rows import add_shape, check_max_rows, hide_reading
from tui_app.data_options.tokens import readable_elsewhere
from tui_app.plain import one_line

if TYPE_CHECKING:
    from engine.evaluation.request import Asked
    from engine.recipe import Recipe
    from engine.run_dir import RunDir
    from engine.run_state import RunState

HELP = "score base, tuned model and exports on the same rows"
USAGE = "[OPTIONS] RUN|MODEL"
NUM_SHOWN = 3
"""Rows of each kind under the table."""
CHOICES = ("better", "worse", "wrong")


def add(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("source", metavar="RUN|MODEL", help="a run; or a model, adapter or .gguf file, with --data")
    parser.add_argument("--data", metavar="ROWS", help="other rows than the run's test split")
    parser.add_argument("--name", metavar="NAME", help="what those rows are called in tables")
    parser.add_argument(
        "--variant", action="append", metavar="V", help="base, tuned, merged, gguf, gguf-Q8_0 …; or all"
    )
    parser.add_argument("--metric", action="append", metavar="M", help="for example rouge; may be given again")
    parser.add_argument("--max-rows", type=int, metavar="N", help="score the first N rows")
    parser.add_argument("--max-new-tokens", type=int, metavar="N", help="longest answer")
    parser.add_argument("--batch-size", type=int, metavar="N", help="rows answered at once")
    parser.add_argument("--examples", type=int, metavar="N", help="ask the base with N training rows before each, too")
    parser.add_argument("--answer-pattern", metavar="RE", help="its group is the part compared: '^COMMAND: (.+)$'")
    parser.add_argument("--group-pattern", metavar="REGEX", help=argparse.SUPPRESS)
    parser.add_argument("--grammar", metavar="FILE", help=argparse.SUPPRESS)
    parser.add_argument("--run-code", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--rows", choices=CHOICES, metavar="KIND", help="list all rows that are better, worse or wrong")
    parser.add_argument("--force", action="store_true", help="ask again what is answered already")
    parser.add_argument("--json", action="store_true", help="one JSON object")
    parser.add_argument("--detach", action="store_true", help="return once it is started")
    parser.add_argument("--plain", action="store_true", help=argparse.SUPPRESS)  # as it always is
    add_shape(parser)
    hide_reading(parser)


def run(options: argparse.Namespace) -> int:
    from engine.evaluation.targets import run_of
    from engine.launcher import in_charge_already
    from engine.liveness import liveness
    from engine.requests import ask

    check_numbers(options)
    found = run_of(options.source)
    if found is not None and wants_list_only(options) and (known := scored_already(found)):
        tell(found, known, "test", options)
        return 0
    target = model_run(options) if found is None else found
    if (state := liveness(target)) != "dead":
        raise in_charge_already(target, state)
    asked = prepared(target, options)
    skip, before = num_starts(target), state_of(target)
    request = ask(target, "evaluate", f"score {name_of(target)} on {rows_in_words(asked)}", asked.to_json())
    if options.detach:
        return told_detached(target, request.number, as_json=options.json)
    from tui_app.runs.following import watch_request

    with contextlib.redirect_stdout(sys.stderr) if options.json else contextlib.nullcontext():
        code, after = watch_request(target, request.number, as_json=False, skip_starts=skip)
    if code == 0:
        tell(target, after, asked.rows, options)
        if not options.json:
            print("\n".join(fewer_rows(target, before, after, asked.rows)))
    return code


def fewer_rows(target: RunDir, before: RunState, after: RunState, dataset: str) -> list[str]:
    """That scores of fewer rows than before are now those of the run, and how to have the others back."""
    most = max((score.num_rows for score in before.scores if score.dataset == dataset), default=0)
    now = [score.num_rows for score in after.scores if score.dataset == dataset]
    if not now or min(now) >= most:
        return []
    told = f"Before, {most} rows were scored; status, report and screens now show these {min(now)}."
    return [told, f"All of them again: finetui eval {target.typed}"]


def wants_list_only(options: argparse.Namespace) -> bool:
    """Whether rows of the test split are to be listed and nothing says that they be scored otherwise."""
    changing = "data variant metric max_rows max_new_tokens batch_size examples answer_pattern group_pattern grammar "
    others = (changing + "run_code force detach name").split()
    return options.rows is not None and not any(getattr(options, name) for name in others)


def scored_already(target: RunDir) -> RunState | None:
    """The state of a run whose variants were compared on its test split."""
    state = state_of(target)
    return state if any(pair.dataset == "test" for pair in state.comparisons) else None


def state_of(target: RunDir) -> RunState:
    from engine.event_log import read_events
    from engine.run_state import fold_all

    return fold_all(read_events(target.events))


def check_numbers(options: argparse.Namespace) -> None:
    """Raises RecipeError for numbers that leave nothing to do."""
    check_max_rows(options)
    for name, least in (("max_new_tokens", 1), ("batch_size", 1), ("examples", 0)):
        value = getattr(options, name)
        if value is not None and value < least:
            raise RecipeError(
                f"--{name.replace('_', '-')} is {value}.",
                means="Nothing was started.",
                remedy=f"Give {least} or more, or leave it out.",
            )


def model_run(options: argparse.Namespace) -> RunDir:
    """The folder in which a model that no run made is scored. Raises RecipeError without rows to score it on."""
    from engine.evaluation.targets import evaluation_run, subject_of

    subject = subject_of(options.source)
    if options.data is None:
        raise RecipeError(
            f"{options.source} is a model, and has no test split of its own.",
            means="Nothing says on which rows it is to be scored.",
            remedy=f"Name them: finetui eval {shlex.quote(options.source)} --data ROWS",
        )
    check_metrics(options)
    return evaluation_run(subject, {}, options.offline)


def prepared(target: RunDir, options: argparse.Namespace) -> Asked:
    """What is asked of the run, all of it checked, other rows kept in its folder. Raises FinetuiError."""
    from dataclasses import replace

    from engine.evaluation.request import OWN_ROWS, Asked, settings_of
    from engine.evaluation.targets import subject_in
    from engine.evaluation.variants import variants_of
    from engine.foreign_code import confirm
    from engine.recipe import Recipe

    subject = subject_in(target)
    recipe = Recipe.load(target.recipe)
    metrics = check_metrics(options)
    variants = None if not options.variant or "all" in options.variant else tuple(options.variant)
    asked = Asked(
        variants=variants,
        metrics=metrics,
        max_rows=options.max_rows,
        max_new_tokens=options.max_new_tokens,
        batch_size=options.batch_size,
        answer_pattern=options.answer_pattern,
        group_pattern=options.group_pattern,
        grammar=grammar_of(options.grammar),
        run_code=options.run_code,
        num_examples=options.examples,
        adapter=subject.adapter if subject else None,
        gguf=subject.gguf if subject else None,
        force=options.force,
    )
    check_settings(settings_of(recipe, asked))
    variants_of(target, recipe, asked)
    if options.run_code:
        confirm("answers", recipe.model.name_or_path)  # whoever types it allows it
    if options.data is None:
        if subject is not None:
            raise RecipeError(
                f"{target.name} scores a model, which has no test split of its own.",
                means="Nothing says on which rows it is to be scored.",
                remedy=f"Name them: finetui eval {target.typed} --data ROWS",
            )
        refuse_reading_options(options)
        return replace(asked, rows=OWN_ROWS)
    return replace(asked, rows=kept_rows(target, recipe, options))


def check_metrics(options: argparse.Namespace) -> tuple[str, ...] | None:
    """The recipe's words for the metrics asked for, None for the usual ones. Raises RecipeError for an unknown one."""
    from data.nearest import nearest
    from engine.evaluation.metrics import families

    words: dict[str, str] = {}
    for word, metrics in families().items():
        words |= {word: word} | {metric.NAME: word for metric in metrics}
    for name in options.metric or ():
        if name not in words:
            near = nearest(name, words)
            raise RecipeError(
                f"There is no metric {name!r}.",
                means=f"There are: {', '.join(families())}.",
                remedy=f"Did you mean {' or '.join(near)}?" if near else "Choose one of them.",
            )
    return tuple(dict.fromkeys(words[name] for name in options.metric)) if options.metric else None


def check_settings(settings: Any) -> None:
    """Raises RecipeError listing what keeps the metrics from being measured."""
    from engine.evaluation.metrics import asked
    from engine.evaluation_faults import evaluation_faults

    told = [f"{field}: {happened} {remedy}" for field, happened, remedy in evaluation_faults(settings)]
    for metric in asked(settings.metrics):
        told += [f"{field}: {happened} {remedy}" for field, happened, remedy in metric.problems(settings)]
    if told:
        raise RecipeError(
            "\n".join(dict.fromkeys(told)),
            means="Nothing was started.",
            remedy="Options: --answer-pattern, --group-pattern, --grammar, --run-code, --examples, --metric.",
        )


def grammar_of(word: str | None) -> str | None:
    """A grammar's file by its whole path: the one who reads it stands in another folder."""
    from pathlib import Path

    return str(Path(word).resolve()) if word is not None and Path(word).exists() else word


def refuse_reading_options(options: argparse.Namespace) -> None:
    """Raises RecipeError for options on how rows are read, where none are read."""
    for name in ("name", "template", "column", "system", "subset", "split", "revision", "generator_rows"):
        if getattr(options, name):
            raise RecipeError(
                f"--{name.replace('_', '-')} has no effect without --data.",
                means="The run's own test split is scored as it was prepared.",
                remedy="Name other rows with --data, or leave it out.",
            )


def kept_rows(target: RunDir, recipe: Recipe, options: argparse.Namespace) -> str:
    """Read the rows and keep them with the run; the name they have there. Raises DataError or RecipeError."""
    from pathlib import Path

    from engine.evaluation.row_sets import keep_rows
    from tui_app.data_options.rows import rows_of

    if options.system is None:
        options.system = recipe.data.system
    options.dataset = options.data
    rows = rows_of(options, like=recipe.data)
    with readable_elsewhere(rows) as dataset:
        source = {
            "dataset": str(Path(dataset).resolve()) if Path(dataset).exists() else dataset,
            "format": options.format,
            "template": options.template,
            "columns": options.column,
            "system": options.system,
            "subset": options.subset,
            "split": options.split,
            "generator_rows": options.generator_rows,
        }
        stem = options.name or ("stdin" if options.data == "-" else Path(options.data.rpartition(":")[2]).stem)
        return keep_rows(target, rows, source, stem)


def num_starts(target: RunDir) -> int:
    from tui_app.runs.following import num_starts_of

    return num_starts_of(target)


def name_of(target: RunDir) -> str:
    """A run's name; a model's where a folder was made only to score it."""
    from engine.evaluation.targets import subject_in

    subject = subject_in(target)
    return target.name if subject is None else subject.name


def rows_in_words(asked: Asked) -> str:
    from engine.evaluation.request import OWN_ROWS

    told = "its test rows" if asked.rows == OWN_ROWS else f"the rows {asked.rows}"
    return told if asked.max_rows is None else f"the first {asked.max_rows} of {told}"


def told_detached(target: RunDir, number: int, *, as_json: bool) -> int:
    if as_json:
        print(json.dumps({"run": target.name, "folder": str(target.path), "request": number}))
        return 0
    from tui_app.runs.following import detached

    print(detached(target))
    return 0


def tell(target: RunDir, state: RunState, dataset: str, options: argparse.Namespace) -> None:
    """The table, what is better in words, and the first rows that changed; or all of it as one object."""
    from tui_app.changed_rows import changed_rows, main_pair, row_lines
    from tui_app.result_table import comparison_lines, result_table

    scores = [score for score in state.scores if score.dataset == dataset]
    if options.json:
        print(json.dumps(values_of(target, state, dataset)))
        return
    told = [*result_table(state, dataset), "", *comparison_lines(state, dataset)]
    wanted = (options.rows,) if options.rows else ("better", "worse")
    for kind in wanted:
        rows = changed_rows(target, state, dataset, kind)
        shown = rows if options.rows else rows[:NUM_SHOWN]
        told += row_lines(kind, rows, shown, {score.variant: score.title for score in scores})
        if options.rows and not rows:
            is_known = kind == "wrong" or main_pair(state, dataset) is not None
            none = "No row is wrong." if kind == "wrong" else f"No row got {kind}."
            told += ["", none if is_known else "No two variants were compared on these rows."]
    if scores:
        folder = (target.path / scores[0].answers_file).parent
        told += ["", f"Answers, row by row: {one_line(str(folder))}/"]
    print("\n".join(told))


def values_of(target: RunDir, state: RunState, dataset: str) -> dict[str, Any]:
    """Everything about one row set as plain values."""
    from dataclasses import asdict

    variants = []
    for score in state.scores:
        if score.dataset != dataset:
            continue
        intervals = {name: [low, high] for name, low, high in score.intervals}
        value = score.num_correct / score.num_rows if score.num_rows else None
        metrics: dict[str, Any] = {score.metric: {"value": value, "interval": [score.low, score.high]}}
        metrics |= {name: {"value": number, "interval": intervals.get(name)} for name, number in score.scores}
        kept = ("variant", "title", "num_rows", "num_correct", "seconds", "answers_file", "groups")
        variants.append({name: getattr(score, name) for name in kept} | {"metrics": metrics})
    compared = [asdict(pair) for pair in state.comparisons if pair.dataset == dataset]
    return {
        "run": target.name,
        "folder": str(target.path),
        "dataset": dataset,
        "variants": variants,
        "comparisons": compared,
    }
