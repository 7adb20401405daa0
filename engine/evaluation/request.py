"""What one evaluation is to do: which variants answer which rows, and what is measured.

Made of a run's recipe, or of the arguments of a request (plain JSON). Light: the command line reads and makes these
without loading what carries them out (`worker`).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from engine.recipe import Recipe
from engine.recipe_sections import EvaluationSection

OWN_ROWS = "test"
"""The run's own test split, among the names of row sets."""
DEFAULT_METRICS = ("exact_match", "perplexity", "stop_rate", "answer_length", "tokens_per_second")
"""What is measured besides the recipe's metrics when somebody asks for a score."""


@dataclass(frozen=True, slots=True)
class Asked:
    """Everything None takes the recipe's value; `variants` None are all that there are.

    `rows`: test, or the name of other rows in `evaluations/`. `max_new_tokens` None makes room for the longest
    expected answer too. `adapter` and `gguf` are paths of what a run made for scoring only is about. `force` answers
    anew what is answered already.
    """

    variants: tuple[str, ...] | None = None
    rows: str = OWN_ROWS
    metrics: tuple[str, ...] | None = None
    max_rows: int | None = None
    max_new_tokens: int | None = None
    batch_size: int | None = None
    answer_pattern: str | None = None
    group_pattern: str | None = None
    grammar: str | None = None
    run_code: bool = False
    num_examples: int | None = None
    adapter: str | None = None
    gguf: str | None = None
    force: bool = False

    def to_json(self) -> dict[str, Any]:
        """The arguments of a request: plain values."""
        return dataclasses.asdict(self)

    @staticmethod
    def from_json(arguments: Mapping[str, Any]) -> Asked:
        """The opposite of `to_json`; what lacks has its default. Raises ValueError for an unknown argument."""
        values: dict[str, Any] = {
            name: tuple(value) if isinstance(value, list) else value for name, value in arguments.items()
        }
        unknown = set(values) - {field.name for field in dataclasses.fields(Asked)}
        if unknown:
            raise ValueError(f"an evaluation takes no {', '.join(sorted(unknown))}")
        return Asked(**values)


def settings_of(recipe: Recipe, asked: Asked | None) -> EvaluationSection:
    """The recipe's section with what was asked instead; None is the run's own stage."""
    section = recipe.evaluation
    if asked is None:
        return section
    wanted = {
        "metrics": list(asked.metrics or dict.fromkeys((*section.metrics, *DEFAULT_METRICS))),
        "max_rows": asked.max_rows if asked.max_rows is not None else section.max_rows,
        "max_new_tokens": asked.max_new_tokens,
        "per_device_eval_batch_size": asked.batch_size,
        "answer_pattern": asked.answer_pattern,
        "group_pattern": asked.group_pattern,
        "grammar": asked.grammar,
        "run_code": asked.run_code or None,
        "baselines": ["zero_shot", "examples"] if asked.num_examples else None,
    }
    return section.model_copy(update={name: value for name, value in wanted.items() if value is not None})
