"""What every variant is asked and judged by: rows, settings, tokenizer, the way rows become tokens.

Of a trained run all of it is there; a run made for scoring only gets its model and tokenizer ready here. Not here:
asking (`answering`) and measuring (`measuring`).
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any

from data.conversation import Conversation
from data.errors import DataError
from engine.evaluation.metrics import Metric, asked, needs
from engine.evaluation.prompts import is_scorable, one_per_group, question
from engine.evaluation.request import OWN_ROWS, Asked, settings_of
from engine.evaluation.row_sets import RowSet
from engine.evaluation.scoring import Scorer
from engine.evaluation.variants import Variant
from engine.plan import Plan
from engine.recipe import Recipe
from engine.recipe_sections import EvaluationSection
from engine.requests import is_evaluation_only
from engine.run_dir import RunDir, cache_dir, read_json

MOST_ROOM = 1024
"""Tokens up to which the longest expected answer decides how long answers may be."""


@dataclass(frozen=True, slots=True)
class Exam:
    """`is_quick`: an answer ends once what follows cannot change the recipe's score, so its length means nothing."""

    run: RunDir
    recipe: Recipe
    plan: Plan
    settings: EvaluationSection
    rows: RowSet
    metrics: Sequence[Metric]
    scorer: Scorer
    tokenizer: Any
    renderer: Any
    last_answer_renderer: Any
    """As `renderer`, with the last answer of a row trained only: examples in front of a question are not scored."""
    stop_ids: frozenset[int]
    is_quick: bool
    with_loss: bool

    def examples(self, num_examples: int | None) -> tuple[Conversation, ...]:
        """Training rows to stand before a question: one of each group, or the first where rows have no groups."""
        from engine.training.dataset_files import read_examples

        train = read_examples(self.run.dataset / "train.jsonl")
        if self.settings.group_pattern is None and num_examples is not None:
            return tuple(islice(filter(is_scorable, train), num_examples))
        return tuple(one_per_group(train, self.scorer)[:num_examples])


def exam(run: RunDir, recipe: Recipe, asked_for: Asked | None, rows: RowSet) -> Exam:
    """Everything but the models. Raises ModelError, or DataError for rows that cannot be rendered."""
    from engine.training.rendering import Renderer, rendering_for
    from engine.training.tokenizer_loading import load_tokenizer

    settings = settings_of(recipe, asked_for)
    metrics = asked(settings.metrics)
    if is_evaluation_only(run) and not run.model.exists():
        from engine.training.ready_model import ready_model

        ready_model(run, recipe, cache_dir())
    folder = Path(read_json(run.model)["folder"])
    tokenizer = load_tokenizer(folder, trust_remote_code=recipe.model.trust_remote_code)
    prepared = read_json(run.prepared) if run.prepared.exists() else None
    rendering = prepared["rendering"] if prepared else rendering_for(recipe.data.rendering, tokenizer)
    only_answers = recipe.data.completion_only_loss
    renderer = Renderer(tokenizer, rendering, only_answers, recipe.data.trained_answers)
    if rows.name != OWN_ROWS:  # preparation has looked at those
        rows = askable(rows, renderer)
    if asked_for is not None and asked_for.max_new_tokens is None:
        longest = max((num_answer_tokens(renderer, row) for row in rows.rows), default=0)
        settings = settings.model_copy(
            update={"max_new_tokens": max(settings.max_new_tokens, min(longest + 8, MOST_ROOM))}
        )
    needed = needs(metrics)
    return Exam(
        run=run,
        recipe=recipe,
        plan=Plan.from_json(read_json(run.newest_plan_file())),
        settings=settings,
        rows=rows,
        metrics=metrics,
        scorer=Scorer.of(settings),
        tokenizer=tokenizer,
        renderer=renderer,
        last_answer_renderer=replace(renderer, trained_answers="last"),
        stop_ids=frozenset(prepared["stop_ids"] if prepared else renderer.stop_ids()),
        is_quick=not needed & {"whole_answer", "ended", "num_tokens"} and settings.answer_pattern is not None,
        with_loss="loss" in needed,
    )


def askable(rows: RowSet, renderer: Any) -> RowSet:
    """The rows less those that the model's chat template refuses. Raises the first refusal when none is left."""
    kept: list[int] = []
    first: DataError | None = None
    for number, row in enumerate(rows.rows):
        try:
            renderer.prompt_ids(question(row))
        except DataError as fault:
            first = first or fault
            continue
        kept.append(number)
    if first is None:
        return rows
    if not kept:
        raise first
    return replace(
        rows,
        rows=[rows.rows[number] for number in kept],
        columns=[rows.columns[number] for number in kept],
        num_refused=len(rows.rows) - len(kept),
    )


def num_answer_tokens(renderer: Any, row: Conversation) -> int:
    """Tokens of a row's expected answer, as the tokenizer cuts it alone; near enough for how much room it needs."""
    return len(renderer.tokenizer(row.answer, add_special_tokens=False)["input_ids"])


def titled(variant: Variant, test: Exam, num_examples: int | None) -> Variant:
    """The variant with its examples, and their number in its title."""
    if not variant.has_examples:
        return variant
    shots = test.examples(num_examples)
    plural = "" if len(shots) == 1 else "s"
    return replace(variant, shots=shots, title=f"base, {len(shots)} example{plural} in the prompt")


def digest(*parts: object) -> str:
    """A short hash of plain values."""
    import hashlib

    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:16]
