"""What every metric promises. Grows by itself: a new module in the folder is held to it unasked."""

from __future__ import annotations

import json
import math
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data.formats import mbpp
from engine.evaluation.metrics import Reply, all_metrics, asked, families, measure
from engine.recipe import Recipe, literal_values
from engine.recipe_sections import EvaluationSection

METRICS = all_metrics()
SETTINGS = EvaluationSection.model_validate({"grammar": "generator:venvy", "run_code": True})
QUICK = [name for name in METRICS if name != "code_execution"]  # it starts processes: its own tests do

REPLIES = st.lists(
    st.builds(
        Reply,
        st.sampled_from(["venvy ls", "a b c", "", "été."]),
        st.text(max_size=20),
        ended=st.none() | st.booleans(),
        num_tokens=st.none() | st.integers(0, 100),
        seconds=st.none() | st.floats(0, 10),
        loss=st.none() | st.floats(0, 100) | st.just(math.nan),
        num_loss_tokens=st.none() | st.integers(0, 50),
    ),
    max_size=8,
)


def test_the_words_of_the_recipe_are_the_modules_and_each_knows_its_metrics() -> None:
    assert set(literal_values("evaluation.metrics")) == set(families())
    for word, family in families().items():
        assert [metric.NAME for metric in asked([word, word])] == [metric.NAME for metric in family]
        assert Recipe.from_values(
            {
                "model": {"name_or_path": "m"},
                "data": {"dataset": "rows.jsonl"},
                "evaluation": {"metrics": [word], "grammar": "generator:venvy", "run_code": True},
            }
        ).evaluation.metrics == [word]


@pytest.mark.parametrize("name", METRICS)
def test_a_metric_is_described(name: str) -> None:
    metric = METRICS[name]
    assert re.fullmatch(r"[a-z][a-zA-Z0-9_]*", name)
    assert 2 <= len(metric.TITLE) <= 24
    assert metric.NEEDS
    assert metric.problems(SETTINGS) == []


@pytest.mark.parametrize("name", QUICK)
@settings(max_examples=10, deadline=None)
@given(REPLIES)
def test_a_metric_gives_every_row_one_value_and_all_of_them_one(name: str, replies: list[Reply]) -> None:
    metric = METRICS[name]
    found = measure(metric, replies, SETTINGS)
    assert len(found.values) == len(replies)
    told = [value for value in (*found.values, found.value, found.low, found.high) if value is not None]
    assert all(math.isfinite(value) for value in told)
    assert json.loads(json.dumps(told)) == told
    if metric.SHARE:
        assert all(0 <= value <= 1 for value in told)
    if found.low is not None and found.high is not None:
        assert found.low <= found.high
    assert measure(metric, replies, SETTINGS) == found
    if not replies:
        assert (found.value, found.low, found.high) == (None, None, None)


@pytest.mark.parametrize("name", METRICS)
def test_the_expected_answer_itself_has_the_best_value(name: str) -> None:
    metric = METRICS[name]
    row = mbpp.convert(mbpp.EXAMPLE, 1)
    texts = [row.answer] if name == "code_execution" else ["venvy ls --sort size", "venvy scan --depth 3"]
    replies = [Reply(text, text, request=row.messages[-2].content, ended=True) for text in texts]
    if metric.SHARE:
        assert measure(metric, replies, SETTINGS).value == pytest.approx(1.0)
