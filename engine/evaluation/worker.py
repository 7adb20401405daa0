"""The evaluation stage: base and tuned model answer the test split, each becomes a line of the result table.

Run as `python -P -m engine.evaluation.worker RUN_DIR SUPERVISOR_PID`. Answers are stored row by row, so a
stage that was ended goes on where it was; `answers/done.json` is written last. Not here: generating, judging.
"""

from __future__ import annotations

import json
import signal
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from data.conversation import Conversation
from engine.errors import OutOfMemoryError
from engine.evaluation.answers_file import Answer, AnswersFile
from engine.evaluation.contenders import Contenders, precision
from engine.evaluation.generation import Limits, never
from engine.evaluation.prompts import is_scorable, one_per_group, question
from engine.evaluation.scoring import Judged, Scorer, tally
from engine.evaluation.smaller_batches import generate_within_memory
from engine.evaluation.text_overlap import overlap_scores
from engine.event_log import EventWriter
from engine.events import EvaluationProgressed, VariantScored, WarningRaised, clip
from engine.plan import Plan
from engine.recipe import Recipe
from engine.run_dir import RunDir, read_json, write_atomic
from engine.worker_edge import at_edge, die_with_parent

PROGRESS_SECONDS = 1.0
MAX_REQUEST_BYTES = 500


@dataclass(frozen=True, slots=True)
class Variant:
    """One line of the result table: who is asked, with which examples before the question."""

    name: str
    title: str
    is_tuned: bool
    shots: tuple[Conversation, ...] = ()


@dataclass(frozen=True, slots=True)
class Test:
    """What every variant is asked and judged by."""

    run: RunDir
    recipe: Recipe
    plan: Plan
    rows: Sequence[Conversation]
    unseen: frozenset[int]
    scorer: Scorer
    tokenizer: Any
    renderer: Any
    stop_ids: frozenset[int]


def evaluate(run: RunDir, writer: EventWriter) -> int:
    """Score every variant of the recipe. A test split that cannot be scored is a warning, not a failure."""
    from engine.training.dataset_files import read_examples

    recipe = Recipe.load(run.recipe)
    rows: list[Conversation] = []
    num_rows, num_scorable = 0, 0
    for example in read_examples(run.dataset / "test.jsonl"):
        num_rows += 1
        if is_scorable(example):
            num_scorable += 1
            if recipe.evaluation.max_rows is None or len(rows) < recipe.evaluation.max_rows:
                rows.append(example)
    if num_scorable < num_rows:
        left_out = num_rows - num_scorable
        writer.write(WarningRaised(text=f"{left_out} of {num_rows} test rows ask nothing, so they are not scored."))
    names: list[str] = []
    if rows:
        names = score_all(run, recipe, rows, writer)
    else:
        writer.write(WarningRaised(text="The test split holds no row that can be scored: there is no result table."))
    write_atomic(run.answers / "done.json", json.dumps({"variants": names, "rows": len(rows)}))
    return 0


def score_all(run: RunDir, recipe: Recipe, rows: Sequence[Conversation], writer: EventWriter) -> list[str]:
    """Every variant in turn, the base first; their names."""
    from engine.training.capping import settle
    from engine.training.dataset_files import read_examples
    from engine.training.rendering import Renderer
    from engine.training.tokenizer_loading import load_tokenizer

    plan = Plan.from_json(read_json(run.plan(run.latest_plan_number())))
    settle(plan)
    prepared = read_json(run.prepared)
    folder = Path(read_json(run.model)["folder"])
    tokenizer = load_tokenizer(folder, trust_remote_code=recipe.model.trust_remote_code)
    test = Test(
        run,
        recipe,
        plan,
        rows,
        frozenset(prepared["test"]["unseen"]),
        Scorer(recipe.evaluation.answer_pattern, recipe.evaluation.group_pattern),
        tokenizer,
        Renderer(tokenizer, prepared["rendering"], recipe.data.completion_only_loss),
        frozenset(prepared["stop_ids"]),
    )
    variants = []
    if "zero_shot" in recipe.evaluation.baselines:
        variants.append(Variant("base_zero_shot", "base, zero-shot", is_tuned=False))
    if "examples" in recipe.evaluation.baselines:
        shots = tuple(one_per_group(read_examples(run.dataset / "train.jsonl"), test.scorer))
        plural = "" if len(shots) == 1 else "s"
        title = f"base, {len(shots)} example{plural} in the prompt"
        variants.append(Variant("base_examples", title, is_tuned=False, shots=shots))
    variants.append(Variant("tuned", "tuned", is_tuned=True))
    contenders = Contenders(run, recipe, plan)
    for variant in variants:
        score(test, variant, contenders, writer)
    return [variant.name for variant in variants]


def score(test: Test, variant: Variant, contenders: Contenders, writer: EventWriter) -> None:
    """Answer what is not answered yet, then tell the variant's line of the table."""
    path = test.run.answers / f"{variant.name}.jsonl"
    with AnswersFile(path) as answers:
        missing = [row for row in range(len(test.rows)) if row not in answers.done]
        if missing:
            model = load(contenders, variant)
            answer_rows(test, variant, model, missing, answers, writer)
        done = [answers.done[row] for row in range(len(test.rows))]
        seconds = answers.seconds
    counts = tally([Judged(row.wanted, row.found, row.correct, row.group, row.unseen) for row in done])
    metrics = test.recipe.evaluation.metrics
    writer.write(
        VariantScored(
            variant=variant.name,
            title=variant.title,
            metric="exact_match",
            num_rows=counts.num_rows,
            num_correct=counts.num_correct,
            low=counts.low,
            high=counts.high,
            seconds=round(seconds, 2),
            answers_file=path.relative_to(test.run.path).as_posix(),
            unseen_rows=counts.unseen_rows,
            unseen_correct=counts.unseen_correct,
            groups=counts.groups,
            scores=overlap_scores(metrics, [row.expected for row in done], [row.answer for row in done]),
        )
    )


def load(contenders: Contenders, variant: Variant) -> Any:
    """The variant's model. Raises ModelError, or OutOfMemoryError when it does not fit."""
    from engine.training.out_of_memory import out_of_memory

    try:
        return contenders.tuned() if variant.is_tuned else contenders.base()
    except (RuntimeError, MemoryError) as fault:
        if out_of_memory(fault) is None:
            raise
        raise OutOfMemoryError(
            f"Out of memory while the model was loaded for scoring: {clip(str(fault), 300)}",
            means="The trained adapter is safe; only its score is missing.",
            remedy="Free memory, then `finetui resume` the run.",
        ) from fault


def answer_rows(
    test: Test, variant: Variant, model: Any, missing: list[int], answers: AnswersFile, writer: EventWriter
) -> None:
    """Ask the model the missing rows, and store each answer as it comes."""
    begun, spent = time.monotonic(), answers.seconds
    told = begun
    prompts = {row: test.renderer.prompt_ids(question(test.rows[row], variant.shots)) for row in missing}
    for row, new_ids in answered(test, variant, model, prompts, writer):
        text = test.tokenizer.decode(new_ids, skip_special_tokens=True, clean_up_tokenization_spaces=False)
        now = time.monotonic()
        answers.append(answer_of(test, row, text, round(spent + now - begun, 3)))
        if now - told >= PROGRESS_SECONDS or len(answers.done) == len(test.rows):
            told = now
            writer.write(
                EvaluationProgressed(variant=variant.name, num_done=len(answers.done), num_rows=len(test.rows))
            )


def answer_of(test: Test, row: int, text: str, seconds: float) -> Answer:
    asked = test.rows[row]
    judged = test.scorer.judge(asked.answer, text, unseen=asked.line in test.unseen)
    return Answer(
        row=row,
        line=asked.line,
        request=clip(asked.messages[-2].content, MAX_REQUEST_BYTES),
        expected=asked.answer,
        answer=text,
        wanted=judged.wanted,
        found=judged.found,
        correct=judged.correct,
        group=judged.group,
        unseen=judged.unseen,
        seconds=seconds,
    )


def answered(
    test: Test, variant: Variant, model: Any, prompts: dict[int, list[int]], writer: EventWriter
) -> Iterator[tuple[int, list[int]]]:
    """(row, new token ids) of every prompt. A prompt that the model's context cannot hold is answered by nothing."""
    settings = test.recipe.evaluation
    context = getattr(model.config.get_text_config(), "max_position_embeddings", None)
    too_long = [row for row, ids in prompts.items() if context and len(ids) + settings.max_new_tokens > context]
    if too_long:
        text = f"{variant.title}: {len(too_long)} prompts do not fit the model's {context} tokens; they count as wrong."
        writer.write(WarningRaised(text=text))
    yield from ((row, []) for row in too_long)
    limits = Limits(
        stop_ids=test.stop_ids,
        max_new_tokens=settings.max_new_tokens,
        batch_size=settings.per_device_eval_batch_size,
        pad_id=test.tokenizer.pad_token_id or 0,
        autocast=precision(test.plan)[1],
        is_complete=completeness(test),
    )
    yield from generate_within_memory(
        model, {row: ids for row, ids in prompts.items() if row not in too_long}, limits, writer
    )


def completeness(test: Test) -> Callable[[Sequence[int]], bool]:
    """Whether what a row has generated settles its score. Overlap metrics look at the whole answer: never, then."""
    settings = test.recipe.evaluation
    if settings.metrics != ["exact_match"] or settings.answer_pattern is None:
        return never

    def is_complete(new_ids: Sequence[int]) -> bool:
        text = test.tokenizer.decode(new_ids, skip_special_tokens=True, clean_up_tokenization_spaces=False)
        return test.scorer.is_settled(text)

    return is_complete


def main(arguments: list[str]) -> int:
    signal.signal(signal.SIGTERM, signal.SIG_DFL)  # answers are stored as they come: a stop ends the stage at once
    die_with_parent(int(arguments[1]))
    run = RunDir(Path(arguments[0]))
    writer = EventWriter(run.event_file("evaluate"))
    return at_edge(lambda: evaluate(run, writer), writer)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
