"""Which predictor a person who waits gets: the dry run, or the closed form where that is asked for or all there is.

Not here: the predictors (`engine.memory`, `engine.dry_runs`), and saying that one waits.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator

from engine.calibration import calibrated
from engine.dry_runs import dry_run_predictor
from engine.memory import Predictor, closed_form
from engine.starting import Prospect


@contextlib.contextmanager
def predictor_for(
    found: Prospect,
    *,
    wants_closed_form: bool = False,
    on_question: Callable[[int], None] = lambda _: None,
    on_wait: Callable[[], None] = lambda: None,
) -> Iterator[Predictor | None]:
    """What predicts plans of a prospect's model, calibrated; None where nothing can.

    `on_question` gets the number of each question to the dry run, which takes seconds; `on_wait` is called while an
    answer is awaited and may raise to give up.
    """
    closed = calibrated(closed_form(found.shape)) if found.shape else None
    if wants_closed_form or found.config is None:
        yield closed
        return
    with dry_run_predictor(
        found.config, found.shape, first=found.plan, on_question=on_question, on_wait=on_wait
    ) as predictor:
        yield predictor or closed
