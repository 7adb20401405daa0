"""What answers are measured by. Each module here is one word of the recipe's `evaluation.metrics`, found by being here.

A module holds `METRICS`, objects as `Metric` describes: usually one of the module's own name, sometimes a family
("rouge" is rouge1, rouge2 and rougeL). Metrics are pure but for `code_execution`, which runs programs; the libraries
behind them are imported where they are used. Not here: how answers come about, and what a difference between two
variants means (`engine.evaluation.statistics`).
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import TYPE_CHECKING, Any, Literal, Protocol

from engine.evaluation.statistics import mean_interval

if TYPE_CHECKING:
    from engine.recipe_sections import EvaluationSection

Need = Literal["answer", "whole_answer", "ended", "num_tokens", "seconds", "loss"]
Values = Sequence[float | None]


@dataclass(frozen=True, slots=True)
class Reply:
    """What one variant did with one row; all variants of a comparison get the same rows in the same order.

    `expected` and `answer` are whole texts, and so is `request`: the last turn of who asks. `ended`: by a stop token or
    at its end of text, not at `max_new_tokens`; None where nobody knows. `num_tokens` of the answer, without the stop
    token. `seconds`: this row's share of the variant's computing time; the shares of all rows add up to it. `loss`:
    mean nats per trained token of the expected answer, over `num_loss_tokens` of them. `row`: columns of the source
    row, as far as known.
    """

    expected: str
    answer: str
    request: str = ""
    ended: bool | None = None
    num_tokens: int | None = None
    seconds: float | None = None
    loss: float | None = None
    num_loss_tokens: int | None = None
    row: Mapping[str, Any] = field(default_factory=dict)
    group: str = ""
    unseen: bool = False


class Metric(Protocol):
    """One number for a set of replies, and where it has a meaning one for each of them."""

    NAME: str
    """The field's term, as scores and tables spell it."""
    TITLE: str
    """A few words for the head of a column."""
    HIGHER_IS_BETTER: bool | None
    """None: neither is better by itself."""
    SHARE: bool
    """Whether it lies between 0 and 1 and is shown in percent."""
    NEEDS: frozenset[Need]
    """What of a reply must be known. Without `whole_answer`, generation may end once the compared part is complete."""

    def problems(self, settings: EvaluationSection) -> list[tuple[str, str, str]]:
        """(recipe field, what is wrong, what to do) where it cannot be measured; asked before any answer is made."""

    def rows(self, replies: Sequence[Reply], settings: EvaluationSection) -> list[float | None]:
        """Its value for each reply; None where it means nothing there."""

    def whole(self, replies: Sequence[Reply], values: Values, settings: EvaluationSection) -> float | None:
        """Its value for all of them, where `values` are those of `rows`; None where there is none."""

    def interval(
        self, replies: Sequence[Reply], values: Values, settings: EvaluationSection
    ) -> tuple[float, float] | None:
        """The 95 % interval of `whole`; None where it has none."""


class MeanOfRows:
    """A metric whose value for all is the mean over the rows that have one. Others derive from it."""

    NAME: str
    TITLE: str
    HIGHER_IS_BETTER: bool | None = True
    SHARE: bool = True
    NEEDS: frozenset[Need] = frozenset({"answer", "whole_answer"})

    def problems(self, settings: EvaluationSection) -> list[tuple[str, str, str]]:  # noqa: ARG002 - the protocol's
        """Nothing is in the way."""
        return []

    def whole(
        self,
        replies: Sequence[Reply],  # noqa: ARG002 - the protocol's
        values: Values,
        settings: EvaluationSection,  # noqa: ARG002 - the protocol's
    ) -> float | None:
        """The mean."""
        known = [value for value in values if value is not None]
        return sum(known) / len(known) if known else None

    def interval(
        self,
        replies: Sequence[Reply],  # noqa: ARG002 - the protocol's
        values: Values,
        settings: EvaluationSection,  # noqa: ARG002 - the protocol's
    ) -> tuple[float, float] | None:
        """Wilson's for shares of yes and no, else the bootstrap's for a mean."""
        known = [value for value in values if value is not None]
        return mean_interval(known, is_share=self.SHARE)


@dataclass(frozen=True, slots=True)
class Measured:
    """One metric of one variant. `values` are those of its rows; `num_rows` of them have one."""

    name: str
    values: tuple[float | None, ...]
    num_rows: int
    value: float | None
    low: float | None
    high: float | None


@cache
def families() -> dict[str, tuple[Metric, ...]]:
    """The metrics behind each word of the recipe, in alphabetical order."""
    names = sorted(found.name for found in pkgutil.iter_modules(__path__))
    return {name: importlib.import_module(f"{__name__}.{name}").METRICS for name in names}


@cache
def all_metrics() -> dict[str, Metric]:
    """Every metric by name."""
    return {metric.NAME: metric for family in families().values() for metric in family}


def asked(words: Iterable[str]) -> list[Metric]:
    """The metrics that the recipe's words ask for, in their order, each once. Raises KeyError for an unknown word."""
    found = {metric.NAME: metric for word in words for metric in families()[word]}
    return list(found.values())


def needs(metrics: Iterable[Metric]) -> frozenset[Need]:
    """All that must be known of a reply for these metrics."""
    return frozenset().union(*(metric.NEEDS for metric in metrics))


def measure(metric: Metric, replies: Sequence[Reply], settings: EvaluationSection) -> Measured:
    """Everything about one metric of one variant."""
    values = metric.rows(replies, settings)
    interval = metric.interval(replies, values, settings)
    return Measured(
        name=metric.NAME,
        values=tuple(values),
        num_rows=sum(value is not None for value in values),
        value=metric.whole(replies, values, settings),
        low=interval[0] if interval else None,
        high=interval[1] if interval else None,
    )
