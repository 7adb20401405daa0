"""The one call that turns a dataset string into train, eval and test rows. Tokens are no concern here."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from data.conversation import Example
from data.detection import Detection
from data.errors import DataError
from data.loading import AUTO, Loaded, Shape, load
from data.rows import Rejection
from data.sources import SourceFile, SourceSettings
from data.splitting import Split, SplitSettings, answer_key_of, request_key, split_examples, unseen_in

__all__ = ["DataRequest", "Prepared", "Rejection", "SourceFile", "prepare"]


@dataclass(frozen=True, slots=True)
class DataRequest:
    """What to prepare; the fields are those of the recipe's [data], less what only concerns tokens.

    `answer_pattern` is the recipe's evaluation.answer_pattern. `columns` maps the name that a format needs to the
    name in the file. `max_rows` reads only the first rows of `dataset`. A given eval or test dataset replaces the
    fraction; where it is a folder or a hub dataset, the files named after that split are taken.
    """

    dataset: str
    format: str = AUTO
    template: str | None = None
    columns: Mapping[str, str] = field(default_factory=dict)
    system: str | None = None
    eval_fraction: float = 0.1
    test_fraction: float = 0.1
    eval_dataset: str | None = None
    test_dataset: str | None = None
    unseen_answers: int = 0
    answer_pattern: str | None = None
    max_rows: int | None = None
    seed: int = 42
    subset: str | None = None
    split: str | None = None
    revision: str | None = None
    generator_rows: int | None = None
    offline: bool = False
    cache_dir: str | None = None


@dataclass(frozen=True, slots=True)
class Prepared:
    """The rows of each split, in file order, and an account of everything that is not in them.

    `unseen` holds the lines of the test rows whose answer key no train row has. `num_read` counts every row read.
    `detection` is that of the main dataset.
    """

    train: tuple[Example, ...]
    eval: tuple[Example, ...]
    test: tuple[Example, ...]
    unseen: frozenset[int]
    rejected: tuple[Rejection, ...]
    duplicates: int
    detection: Detection
    files: tuple[SourceFile, ...]
    num_read: int


def prepare(request: DataRequest) -> Prepared:
    """Read, recognise, convert and split.

    Raises DataError when no row is left to train on or a demanded split stays empty. A row of a given eval or test
    dataset whose request stands in another split is rejected there ("also in the training rows"), never in training.
    """
    answer_key = answer_key_of(request.answer_pattern)
    settings = _split_settings(request)
    main = _load(request, request.dataset, ("train",))
    split = split_examples(main.examples, settings, answer_key)
    loaded = [main]
    if request.test_dataset is not None:
        test = _load(request, request.test_dataset, ("test", "validation"))
        test = _without_leaks(test, {"training": split.train, "evaluation": split.eval})
        split = replace(split, test=test.examples)
        loaded.append(test)
    if request.eval_dataset is not None:
        evaluation = _load(request, request.eval_dataset, ("validation", "test"))
        evaluation = _without_leaks(evaluation, {"training": split.train, "test": split.test})
        split = replace(split, eval=evaluation.examples)
        loaded.append(evaluation)
    _check_filled(request, split)
    return Prepared(
        train=split.train,
        eval=split.eval,
        test=split.test,
        unseen=unseen_in(split.test, split.train, answer_key),
        rejected=tuple(rejection for one in loaded for rejection in one.rejected),
        duplicates=sum(one.num_duplicates for one in loaded),
        detection=main.detection,
        files=tuple(file for one in loaded for file in one.files),
        num_read=sum(one.num_read for one in loaded),
    )


def _load(request: DataRequest, dataset: str, usual_splits: tuple[str, ...]) -> Loaded:
    """Load the main dataset, or a given eval or test dataset; subset and the like belong to the main one."""
    same_name = dataset == request.dataset
    is_main = usual_splits == ("train",)
    settings = replace(main_source(request), usual_splits=usual_splits)
    if not same_name:
        settings = replace(settings, subset=None, revision=None, generator_rows=None)
    if not is_main:
        settings = replace(settings, split=None)
    return load(dataset, settings, shape_of(request), request.max_rows if is_main else None)


def main_source(request: DataRequest) -> SourceSettings:
    """Which rows of the main dataset are meant."""
    return SourceSettings(
        subset=request.subset,
        split=request.split,
        usual_splits=("train",),
        revision=request.revision,
        generator_rows=request.generator_rows,
        seed=request.seed,
        offline=request.offline,
        cache_dir=request.cache_dir,
    )


def shape_of(request: DataRequest) -> Shape:
    """How rows are to be understood."""
    return Shape(request.format, request.template, request.columns, request.system)


def _without_leaks(given: Loaded, others: Mapping[str, tuple[Example, ...]]) -> Loaded:
    """The dataset less the rows whose request stands in one of the other splits; those are rejected."""
    found_in = {request_key(example): name for name, examples in others.items() for example in examples}
    kept = tuple(example for example in given.examples if request_key(example) not in found_in)
    leaked = tuple(
        Rejection(given.places[example.line][1], f"also in the {found_in[key]} rows", given.places[example.line][0])
        for example in given.examples
        if (key := request_key(example)) in found_in
    )
    return replace(given, examples=kept, rejected=given.rejected + leaked)


def _split_settings(request: DataRequest) -> SplitSettings:
    if request.max_rows is not None and request.max_rows < 1:
        raise DataError(
            f"data.max_rows is {request.max_rows}.",
            means="No row would be read.",
            remedy="Set it to 1 or more, or leave it out to read every row.",
        )
    if request.test_dataset is not None and request.unseen_answers:
        raise DataError(
            "data.unseen_answers and data.test_dataset are both set.",
            means="Answers are held back into the test split that is cut from data.dataset; a given test dataset is "
            "taken as it is.",
            remedy="Set data.unseen_answers to 0, or leave data.test_dataset out.",
        )
    return SplitSettings(
        eval_fraction=request.eval_fraction if request.eval_dataset is None else 0,
        test_fraction=request.test_fraction if request.test_dataset is None else 0,
        unseen_answers=request.unseen_answers,
        seed=request.seed,
    )


def _check_filled(request: DataRequest, split: Split) -> None:
    wanted = {
        "train": (split.train, True, "Give more rows, or lower data.eval_fraction and data.test_fraction."),
        "eval": (
            split.eval,
            request.eval_fraction > 0 or request.eval_dataset is not None,
            "Give more rows, raise data.eval_fraction, or set it to 0 to train without evaluation.",
        ),
        "test": (
            split.test,
            request.test_fraction > 0 or request.test_dataset is not None,
            "Give more rows, raise data.test_fraction, or set it to 0 to end without a test.",
        ),
    }
    for name, (examples, is_wanted, remedy) in wanted.items():
        if is_wanted and not examples:
            sizes = f"train {len(split.train)}, eval {len(split.eval)}, test {len(split.test)} rows"
            raise DataError(
                f"The {name} split is empty ({sizes}).",
                means="Rows with the same request stay in one split, and a row that stands in training is never used "
                "to measure; what is left does not fill every split.",
                remedy=remedy,
            )
