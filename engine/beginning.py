"""From a prospect to a run that goes on by itself: the one way in which everybody starts one.

Not here: what is started (a recipe's source, a draft, an entry of the queue), and watching it.
"""

from __future__ import annotations

import contextlib
import json
import os
import threading
from collections.abc import Callable, Iterator

from engine.cuda_visible import VARIABLE
from engine.foreign_code import refuse_unconfirmed, told
from engine.launcher import launch
from engine.liveness import liveness
from engine.replaying import differences, expectations
from engine.run_dir import RunDir, list_runs, write_atomic
from engine.starting import Prospect, create_run, refuse_unready


def begin(
    found: Prospect,
    *,
    name: str,
    tell: Callable[[str], None],
    called: str = "",
    earlier: RunDir | None = None,
    allow_changes: bool = False,
    visible_cards: str | None = None,
) -> RunDir:
    """Make the run's folder and start its supervisor; the run.

    It is numbered after `name`, unless it is to be `called` so. `earlier` is the run that is repeated: what differs
    from it is told, and rows or a model that changed are refused later. `visible_cards` is CUDA_VISIBLE_DEVICES for the
    run, None for that of this process. Raises FinetuiError.
    """
    run = make(found, name=name, tell=tell, called=called, earlier=earlier, allow_changes=allow_changes)
    _tell_of_others(run, tell)
    set_going(run, visible_cards=visible_cards)
    return run


def make(
    found: Prospect,
    *,
    name: str,
    tell: Callable[[str], None],
    called: str = "",
    earlier: RunDir | None = None,
    allow_changes: bool = False,
) -> RunDir:
    """The run's folder with all that its supervisor needs; nothing is started. Raises FinetuiError."""
    refuse_unconfirmed(found.recipe)
    refuse_unready(found)
    for warning in told(found.recipe):
        tell(warning)
    if earlier is not None:
        for difference in differences(earlier, found):
            tell(f"differs from {earlier.name}: {difference}")
    run = create_run(found, name=name, called=called)
    if earlier is not None:
        expected = expectations(earlier, found.recipe, allow_changes=allow_changes)
        write_atomic(run.path / "expected.json", json.dumps(expected, indent=1))
    return run


def set_going(run: RunDir, *, visible_cards: str | None = None) -> None:
    """Start the supervisor of a run that was made. Raises as `launch` does."""
    with _cards(visible_cards):
        supervisor = launch(run).process
    # Somebody has to wait for a child that ends while this process goes on, as a screen does: else it stays a zombie.
    threading.Thread(target=supervisor.wait, name=f"end of {run.name}", daemon=True).start()


@contextlib.contextmanager
def _cards(visible: str | None) -> Iterator[None]:
    """The environment that the run inherits, put back afterwards: the next run may be for another card."""
    before = os.environ.get(VARIABLE)
    if visible is not None:
        os.environ[VARIABLE] = visible
    try:
        yield
    finally:
        if visible is not None:
            os.environ.pop(VARIABLE)
            os.environ.update({} if before is None else {VARIABLE: before})


def _tell_of_others(run: RunDir, tell: Callable[[str], None]) -> None:
    """Two runs on one device slow each other down, and may not fit together."""
    for other in list_runs(run.path.parent):
        if other.path != run.path and liveness(other) == "alive":
            told = f"run {other.name} is running too, so both will be slower; `finetui pause {other.typed}` holds it"
            tell(f"note: {told}")
