"""Settings as a recipe's [evaluation] makes them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from engine.recipe_sections import EvaluationSection


@pytest.fixture
def settings() -> Callable[..., EvaluationSection]:
    """The section with some fields given."""

    def make(**fields: Any) -> EvaluationSection:
        return EvaluationSection.model_validate(fields)

    return make
