"""When a step's loss stands out from those before it. Pure; the rows behind it are known to `training`.

A step is compared with the median of the steps before it and with how far those lie from it (their median absolute
deviation), which one bad step among them hardly moves. Losses fall steeply at first and small batches scatter: of a
thousand steps of real runs with batches of 2 to 8 rows none is called a spike; the largest rise was 0.3 nats.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence

WINDOW = 16
"""Steps that are looked back: few, for the first ones of a run are far above all others."""
MIN_STEPS = 8
"""Fewer say nothing of what is usual."""
DEVIATIONS = 8.0
MIN_RISE = 0.5
"""Nats above the usual, and the share of it: small losses double without harm."""
NORMAL = 1.4826
"""From the median absolute deviation to the standard deviation of a normal distribution."""


def usual_loss(before: Sequence[float]) -> float | None:
    """The median of the newest losses that are numbers; None where there is none."""
    finite = _newest(before)
    return statistics.median(finite) if finite else None


def is_spike(loss: float, before: Sequence[float]) -> bool:
    """Whether a step's mean loss, in nats per token, stands out from those before it, the oldest first.

    A loss that is no number does where the one before it is one: a diverged run is told once.
    """
    if not math.isfinite(loss):
        return not before or math.isfinite(before[-1])
    finite = _newest(before)
    if len(finite) < MIN_STEPS:
        return False
    usual = statistics.median(finite)
    spread = NORMAL * statistics.median(abs(each - usual) for each in finite)
    return loss > max(finite[-MIN_STEPS:]) and loss - usual > max(DEVIATIONS * spread, MIN_RISE * usual, MIN_RISE)


def _newest(losses: Sequence[float]) -> list[float]:
    return [loss for loss in losses[-WINDOW:] if math.isfinite(loss)]
