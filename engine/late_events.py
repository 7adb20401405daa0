"""Events that reach a reader after others that happened later: the files of a copied folder come one after another.

Not here: putting those of one look in order (`event_log`).
"""

from __future__ import annotations

from collections.abc import Iterable

from engine.events import AttemptStarted, RunStarted, StageStarted, Stamped, TrainingStarted

BEGINNINGS = (RunStarted, StageStarted, AttemptStarted, TrainingStarted)
"""They set back what is counted from there on: folded late, they would wipe out what came after them."""
LATE_SECONDS = 1.0
"""On one machine an event is read within a fraction of this."""


def arrived_late(fresh: Iterable[Stamped], newest: float) -> bool:
    """Whether one of these events belongs before what was folded up to the Unix time `newest`.

    The state is then right again only once everything is folded anew, in order.
    """
    return any(isinstance(each.event, BEGINNINGS) and each.time < newest - LATE_SECONDS for each in fresh)
