"""Whether a GGUF file still answers as the model it was made of: measured on rows of the run, and judged.

The rows are the same for every file (`checking.asked_rows`). What one file is measured by is a value, `Measured`; what
is allowed to it stands in `BOUNDS`. Not here: making the files (`gguf`).
"""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from engine.errors import FinetuiError
from engine.evaluation.scoring import Scorer
from engine.evaluation.statistics import wilson_interval
from engine.exporters import Job, references
from engine.exporters.references import Reference
from engine.units import format_bytes

if TYPE_CHECKING:
    import numpy as np

Z_95 = 1.96
IMATRIX_HELPS = 0.98
"""An importance matrix that does not lower the divergence below this share of what it is without did not help."""


@dataclass(frozen=True, slots=True)
class Bounds:
    """What a file type may lose.

    `agreement`: least share of rows whose compared part (`evaluation.answer_pattern`) is the tuned model's, of those in
    which the tuned model gives one; failed only where the whole 95 % interval lies below. Without a pattern it bounds
    nothing, since long answers part at the first near-tie. `divergence`: largest mean KL divergence in nats over the
    answers' tokens, which near-ties do not touch. `perplexity`: largest relative rise, failed as agreement is.
    """

    agreement: float
    divergence: float
    perplexity: float


BOUNDS: Mapping[str, Bounds] = MappingProxyType(
    {
        "F16": Bounds(0.95, 0.02, 0.01),
        "Q8_0": Bounds(0.95, 0.05, 0.02),
        "Q6_K": Bounds(0.90, 0.1, 0.05),
        "Q5_K_M": Bounds(0.80, 0.2, 0.10),
        "Q4_K_M": Bounds(0.70, 0.4, 0.25),
    }
)
"""Measured on 24 test rows of a tuned SmolLM2-135M; 24 agreed unless said; divergence and change of perplexity: F16
0.0000002, +0.0004 %; Q8_0 0.0001, +0.03 %; Q6_K 0.0002, +0.06 %; Q5_K_M 0.014, +1.6 % (23 agreed; with a matrix 0.053,
+5.4 %, 20 agreed); Q4_K_M 0.004, +0.65 %; with a matrix 0.005, +0.57 %. The bounds are wider, since an undertrained
model sits on near-ties, and a broken file is far beyond them: with zeroed tensors no answer agrees, and it is several
nats away."""


@dataclass(frozen=True, slots=True)
class Measured:
    """One file. `num_same_part` rows have the tuned model's compared part, `num_same` the whole answer; in
    `num_with_part` rows the tuned model gives such a part, and `num_kept_part` of them keep it.

    `change` is perplexity's relative change with its 95 % interval, `divergence` the mean KL divergence from the tuned
    model in nats, `num_same_top` of `num_compared` answer tokens have the same likeliest next token.
    """

    num_rows: int
    num_same_part: int
    num_same: int
    num_with_part: int
    num_kept_part: int
    perplexity: float | None
    change: float | None
    change_low: float | None
    divergence: float | None
    num_same_top: int
    num_compared: int
    seconds_per_answer: float | None

    @property
    def agreement(self) -> float | None:
        return self.num_same_part / self.num_rows if self.num_rows else None


def measure(job: Job, artifact: str, path: Path, reference: Reference) -> Measured:
    """Load a file anew in llama.cpp and let it answer the same rows. Raises ModelError, OutOfMemoryError."""
    from engine.gguf_runtime.model import GgufModel

    asked = reference.asked
    scorer = Scorer.of(job.recipe.evaluation)
    answers: dict[int, str] = {}
    with GgufModel.open(path, n_threads=job.plan.num_threads) as model:
        for row, new_ids in model.generate(asked.prompts, references.limits(job, asked, references.BATCH_ROWS)):
            answers[row] = references.text(asked, new_ids)
            job.tell(artifact, "answering rows", len(answers), len(asked.prompts))
        losses, compared = _read(model, reference)
        timed = asked.prompts[: references.TIMED_ROWS]
        begun = time.monotonic()
        for prompt in timed:
            list(model.generate([prompt], references.limits(job, asked, 1)))
        seconds = (time.monotonic() - begun) / len(timed) if timed else None
    change, low = perplexity_change(reference.losses, losses)
    pairs = [(reference.answers[row], answers[row]) for row in sorted(answers)]
    with_part = [pair for pair in pairs if scorer.found(pair[0]) is not None]
    return Measured(
        num_rows=len(pairs),
        num_same_part=sum(same_part(scorer, tuned, answer) for tuned, answer in pairs),
        num_same=sum(tuned == answer for tuned, answer in pairs),
        num_with_part=len(with_part),
        num_kept_part=sum(same_part(scorer, *pair) for pair in with_part),
        perplexity=references.perplexity(losses),
        change=change,
        change_low=low,
        divergence=sum(each[0] for each in compared) / num if (num := sum(each[2] for each in compared)) else None,
        num_same_top=sum(each[1] for each in compared),
        num_compared=sum(each[2] for each in compared),
        seconds_per_answer=seconds,
    )


def judge(file_type: str, measured: Measured, *, has_pattern: bool) -> None:
    """Raises FinetuiError when a file answers so differently that it must not be put in place."""
    bounds, faults = BOUNDS[file_type], []
    if has_pattern and measured.num_with_part:
        _, high = wilson_interval(measured.num_kept_part, measured.num_with_part)
        if high < bounds.agreement:
            faults.append(
                f"{measured.num_kept_part} of {measured.num_with_part} answers agree with the tuned model's "
                f"(at least {bounds.agreement:.0%} are wanted)"
            )
    divergence = measured.divergence
    if divergence is not None and not divergence <= bounds.divergence:
        faults.append(
            f"its KL divergence from the tuned model is {divergence:.2g} nats "
            f"(at most {bounds.divergence:g} is allowed)"
        )
    change, low = measured.change, measured.change_low
    if change is not None and not math.isfinite(change):
        faults.append("its perplexity is not a number")
    elif change is not None and low is not None and low > bounds.perplexity:
        faults.append(f"perplexity rises by {change:.1%} (at most {bounds.perplexity:.0%} is allowed)")
    if faults:
        raise FinetuiError(
            f"The {file_type} file does not answer as the tuned model does: {'; '.join(faults)}.",
            means="Rounding, or a fault of the disk, cost more than this type may. It is not kept; what was exported "
            "before is as it was.",
            remedy="Choose a type with more bits (Q8_0, F16); where F16 fails too, export the merged model.",
        )


def in_words(job: Job, measured: Measured, reference: Reference) -> tuple[str, ...]:
    """What an event has no field for."""
    asked = reference.asked
    notes = [f"answered {measured.num_rows} {asked.origin} rows in llama.cpp, greedily"]
    if job.recipe.evaluation.answer_pattern is not None and measured.num_rows:
        notes.append(
            f"agreement is that of the part evaluation.answer_pattern names; {measured.num_same} of "
            f"{measured.num_rows} answers are the same to the last character"
        )
    if measured.divergence is not None:
        notes.append(
            f"KL divergence from the tuned model {measured.divergence:.2g} nats; same likeliest token at "
            f"{measured.num_same_top} of {measured.num_compared} places"
        )
    return tuple(notes)


def effect_in_words(without: Measured, with_matrix: Measured, num_bytes: int) -> str:
    """What an importance matrix changed, and whether it was worth it."""
    parts = [f"without the matrix ({format_bytes(num_bytes)}): {without.num_same_part} of {without.num_rows} agree"]
    ending = f"with it {with_matrix.num_same_part}"
    if without.change is not None and with_matrix.change is not None:
        parts.append(f"perplexity {without.change:+.2%}")
        ending += f", {with_matrix.change:+.2%}"
    if without.divergence is None or with_matrix.divergence is None:
        return f"{', '.join(parts)}; {ending}"
    parts.append(f"KL {without.divergence:.2g}")
    ending += f", {with_matrix.divergence:.2g}"
    helped = with_matrix.divergence < IMATRIX_HELPS * without.divergence
    return f"{', '.join(parts)}; {ending}. It {'helped' if helped else 'did not help'} here"


def same_part(scorer: Scorer, tuned: str, answer: str) -> bool:
    """Whether two answers agree in the part that the recipe compares; an answer always agrees with itself."""
    return tuned == answer or scorer.judge(tuned, answer).correct


def perplexity_change(
    before: Sequence[tuple[float, int]], after: Sequence[tuple[float, int]]
) -> tuple[float | None, float | None]:
    """(relative change of perplexity, lower end of its 95 % interval) from (nats, tokens) of the same rows.

    Paired: perplexity is exp of the mean loss per token, so the change is exp(r) - 1, r being the ratio of the summed
    differences to the tokens; its variance is the usual one of a ratio estimate (Cochran, Sampling Techniques, 6.4).
    """
    rows = [(late[0] - early[0], early[1]) for early, late in zip(before, after, strict=True) if early[1]]
    if not rows:
        return None, None
    num_tokens = sum(count for _, count in rows)
    ratio = sum(difference for difference, _ in rows) / num_tokens
    if not math.isfinite(ratio):
        return math.inf, math.inf
    if len(rows) == 1:
        return _grown(ratio), None
    squares = sum((difference - ratio * count) ** 2 for difference, count in rows)
    error = math.sqrt(squares * len(rows) / (len(rows) - 1)) / num_tokens
    return _grown(ratio), _grown(ratio - Z_95 * error)


def _grown(ratio: float) -> float:
    return math.expm1(min(ratio, 700.0))


def _read(model: Any, reference: Reference) -> tuple[list[tuple[float, int]], list[tuple[float, int, int]]]:
    """Of each row (nats, tokens); of each row with kept logits (sum of KL divergences, same tops, places)."""
    import numpy as np

    losses, compared = [], []
    for row, (ids, labels) in enumerate(reference.asked.rows):
        places, targets = references.answer_places(labels)
        if not places:
            losses.append((0.0, 0))
            continue
        found = _log_shares(model.logits(ids[:-1], places))
        losses.append((-float(found[np.arange(len(places)), targets].sum()), len(places)))
        if row in reference.logits:
            wanted = _log_shares(reference.logits[row])
            width = min(found.shape[1], wanted.shape[1])  # llama.cpp pads no vocabulary, some models do
            shares = np.exp(wanted[:, :width])
            divergence = float((shares * (wanted[:, :width] - found[:, :width])).sum())
            same = int((wanted.argmax(1) == found.argmax(1)).sum())
            compared.append((divergence, same, len(places)))
    return losses, compared


def _log_shares(logits: np.ndarray) -> np.ndarray:
    """Natural logarithms of the probabilities, float64."""
    import numpy as np

    shifted = logits.astype(np.float64)
    shifted -= shifted.max(axis=1, keepdims=True)
    shifted -= np.log(np.exp(shifted).sum(axis=1, keepdims=True))
    return shifted
