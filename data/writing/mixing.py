"""Several datasets as one, by weight, one row at a time: each row's dataset is drawn by the seed.

The words and their meaning are those of `datasets.interleave_datasets`: each draw picks a dataset by its weight and
takes that dataset's next row, in file order. Not here: bringing the rows to one format (`conversion`).
"""

from __future__ import annotations

import random
from collections.abc import Generator, Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path

from data.errors import DataError
from data.many_rows.key_index import KeyIndex
from data.splitting import request_key
from data.writing.conversion import Conversion, Outgoing

STOPPING = {
    "first_exhausted": "stop when a dataset has no row left",
    "all_exhausted": "begin a dataset anew until each has been gone through",
}
LEAST_SHARE = 1e-6
"""The smallest weight, as a share of the largest: below it, the others would be repeated without end."""


@dataclass(frozen=True, slots=True)
class Ingredient:
    """One dataset of the mixture: what to call it, its weight (any positive number), its rows in the common format."""

    name: str
    weight: float
    rows: Conversion


@dataclass(slots=True)
class Poured:
    """What went into the mixture so far from one dataset: rows, and how often it was begun anew."""

    num_rows: int = 0
    num_restarts: int = 0


class Mixture:
    """The rows of the mixture, again as often as wanted, and always the same.

    `poured` and, where it is set, `shared` tell about the iteration that runs or ran last.

    At most `num_rows` usable rows. A row that cannot be used is given where it is met, with its problem, and the draw
    takes the next. `source_column` names a column for the dataset's name. Raises DataError for a dataset that has no
    usable row, and for a source column that the rows have already.
    """

    def __init__(
        self,
        ingredients: Iterable[Ingredient],
        seed: int,
        num_rows: int | None = None,
        stopping_strategy: str = "first_exhausted",
        source_column: str | None = None,
    ) -> None:
        self.ingredients = tuple(ingredients)
        self.seed, self.num_rows, self.source_column = seed, num_rows, source_column
        self.stopping_strategy = stopping_strategy
        self.poured: tuple[Poured, ...] = ()
        self.shared: SharedRequests | None = None
        for one in self.ingredients:
            if not 0 < one.weight < float("inf"):
                raise DataError(
                    f"The weight of {one.name} is {one.weight:g}.",
                    means="A weight is how often the dataset is drawn, in proportion to the others.",
                    remedy="Give a number above 0, for example 0.7.",
                )
        heaviest = max(self.ingredients, key=lambda one: one.weight)
        for one in self.ingredients:
            if one.weight < heaviest.weight * LEAST_SHARE:
                raise DataError(
                    f"The weight of {one.name} is {one.weight:g}, beside {heaviest.weight:g} of {heaviest.name}.",
                    means=f"It would be drawn less than once in {1 / LEAST_SHARE:,.0f} rows, as good as never.",
                    remedy="Give weights that are nearer to each other, or leave it out.",
                )

    def __iter__(self) -> Iterator[Outgoing]:
        self.poured = tuple(Poured() for _ in self.ingredients)
        draws = random.Random(self.seed)
        heaviest = max(one.weight for one in self.ingredients)
        # As shares of the largest: the sum of weights may be beyond what a number holds.
        limits = list(accumulate(one.weight / heaviest for one in self.ingredients))
        running = [iter(one.rows) for one in self.ingredients]
        exhausted: set[int] = set()
        num_left = self.num_rows
        while num_left is None or num_left > 0:
            drawn = draws.random() * limits[-1]
            number = next((place for place, limit in enumerate(limits) if drawn < limit), len(limits) - 1)
            ingredient, poured = self.ingredients[number], self.poured[number]
            found = yield from _next_usable(running[number], poured.num_restarts > 0)
            if found is None:
                exhausted.add(number)
                if not poured.num_rows:
                    raise _no_row(ingredient.name)
                if self.stopping_strategy == "first_exhausted" or len(exhausted) == len(self.ingredients):
                    return
                running[number] = iter(ingredient.rows)
                poured.num_restarts += 1
                found = yield from _next_usable(running[number], True)
                assert found is not None
            poured.num_rows += 1
            if num_left is not None:
                num_left -= 1
            if self.shared is not None and not poured.num_restarts:
                self.shared.add(number, found)
            yield self._marked(found, ingredient.name)

    def _marked(self, one: Outgoing, name: str) -> Outgoing:
        if self.source_column is None or one.values is None:
            return one
        if self.source_column in one.values:
            raise DataError(
                f"The rows have a column {self.source_column!r} already.",
                means="The dataset's name would take its place.",
                remedy="Choose another name with --source-column.",
            )
        return one._replace(values={**one.values, self.source_column: name})


def _next_usable(rows: Iterator[Outgoing], is_again: bool) -> Generator[Outgoing, None, Outgoing | None]:
    """The next row with values; those before it are passed on, unless they were the first time."""
    for one in rows:
        if one.values is not None:
            return one
        if not is_again:
            yield one
    return None


class SharedRequests:
    """Counts the requests that more than one dataset has; `folder` is there and empty."""

    def __init__(self, folder: Path) -> None:
        self._index = KeyIndex(folder)
        self._num_rows = 0

    def add(self, side: int, one: Outgoing) -> None:
        """A row of the mixture, and the number of its dataset."""
        if one.row.example is not None:
            self._index.add(request_key(one.row.example), self._num_rows, side)
            self._num_rows += 1

    def counted(self) -> Mapping[str, int]:
        """ "across": requests of more than one dataset; "within": rows whose request stood in the same one before."""
        across = within = 0
        for group in self._index.groups():
            sides = {seen.side for seen in group}
            across += len(sides) > 1
            within += len(group) - len(sides)
        return {"across": across, "within": within}


def _no_row(name: str) -> DataError:
    return DataError(
        f"{name} has no usable row.",
        means="Nothing of it can go into the mixture.",
        remedy=f"Look at it with finetui data inspect {name}, or leave it out.",
    )
