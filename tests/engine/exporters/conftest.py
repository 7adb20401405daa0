"""Runs as training leaves them, to be exported: the rig of the evaluation's tests, with a job around it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from engine.exporters import Job
from tests.engine.evaluation.conftest import Rig, one_thread, rig  # noqa: F401 - fixtures


@pytest.fixture
def job_of() -> Callable[..., Job]:
    """A job for a rig's run, with these settings of the request."""

    def make(made: Rig, **settings: Any) -> Job:
        return Job(made.run, made.recipe, made.plan, {"rows": 4, **settings}, made.writer())

    return make
