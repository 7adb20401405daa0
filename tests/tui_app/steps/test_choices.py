"""What is offered: presets, devices, sizes, methods with their cost here, consent, rows; impossible ones say why."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from pathlib import Path

import pytest

from engine.hardware import Hardware, emulate, read_hardware
from engine.units import GIB
from presets.matching import rank
from tui_app.steps.answering import answered, first_draft, refreshed
from tui_app.steps.draft import Draft
from tui_app.steps.methods import method_of
from tui_app.steps.rows import detected, is_undetected
from tui_app.steps.schema import Choice
from tui_app.steps.sequence import STEPS, questions, step_of
from tui_app.steps.surroundings import Surroundings

CPU = dataclasses.replace(
    read_hardware(), gpus=(), gpu_note="no NVIDIA card", ram_available_bytes=8 * GIB, cpu_flags=("avx2",)
)
T4 = emulate(CPU, "t4")


def around(hardware: Hardware) -> Surroundings:
    return Surroundings(hardware=hardware, matches=rank(hardware))


def offered(name: str, draft: Draft, hardware: Hardware = T4) -> Sequence[Choice]:
    question = next(each for each in step_of(name).questions if each.name == name)
    return question.choices(draft, around(hardware))


def one(name: str, value: str, draft: Draft, hardware: Hardware = T4) -> Choice:
    return next(each for each in offered(name, draft, hardware) if each.value == value)


def own(hardware: Hardware = T4, model: str = "google/gemma-3-1b-it") -> Draft:
    draft = Draft()
    for name, text in (("model.name_or_path", model), ("data.dataset", "generator:venvy")):
        draft = answered(draft, name, text, around(hardware))
    return draft


def test_presets_are_ranked_with_verdict_and_reason_and_ones_own_comes_after_them() -> None:
    found = offered("preset", Draft("demo-cpu"))
    assert found[0].value == "demo-cpu"
    assert found[-1].value == "own"
    assert all("Here: " in each.explanation for each in found[:-1])


def test_a_preset_that_cannot_run_is_offered_with_the_reason_why_not() -> None:
    old = dataclasses.replace(CPU, cpu_flags=("sse4",))
    assert "AVX2" in one("preset", "qwen-coder-mbpp-6gb", Draft("demo-cpu"), old).impossible


def test_a_recipe_file_that_is_the_base_stays_among_the_choices() -> None:
    assert offered("preset", Draft("mine.toml"))[-1].value == "mine.toml"


def test_every_card_and_the_cpu_can_be_trained_on() -> None:
    two = dataclasses.replace(T4, gpus=tuple(dataclasses.replace(T4.gpus[0], uuid=f"GPU-{n}", index=n) for n in (0, 1)))
    assert [each.value for each in offered("device", Draft(), two)] == ["auto", "GPU-0", "GPU-1", "cpu"]
    assert [each.value for each in offered("device", Draft(), CPU)] == ["auto"]


def test_each_method_says_what_it_costs_here_and_the_present_combination_comes_first() -> None:
    found = offered("method", Draft("trinity-gemma3-12b-16gb"))
    assert (found[0].value, found[0].label) == ("qlora+rslora+dora", "QLoRA + rsLoRA + DoRA")
    assert "fits" in one("method", "qlora", Draft("trinity-gemma3-12b-16gb")).detail
    assert "M trained" in found[0].detail
    full = one("method", "full", Draft("trinity-gemma3-12b-16gb"))
    assert ("will not fit" in full.detail, full.impossible) == (True, "")
    lora = one("method", "lora", Draft("trinity-gemma3-12b-16gb"))
    assert "the ladder makes it fit" in lora.explanation


def test_four_bits_on_a_card_that_cannot_are_greyed_with_the_reason() -> None:
    old = dataclasses.replace(T4, gpus=(dataclasses.replace(T4.gpus[0], compute_capability=(5, 2)),))
    found = one("method", "qlora", Draft("demo-cpu"), old)
    assert "compute capability" in found.impossible
    assert one("method", "lora", Draft("demo-cpu"), old).impossible == ""


def test_ones_own_model_is_sized_and_each_size_says_what_it_needs() -> None:
    draft = own()
    assert draft.problems() == []
    assert draft.value("adapter.r") == "16"
    assert answered(draft, "size", "fast", around(T4)).value("adapter.r") == "8"
    assert all("GiB of" in each.detail for each in offered("size", draft))


def test_what_was_typed_stays_when_the_size_changes_and_the_sizes_count_with_it() -> None:
    draft = answered(own(), "training.max_length", "4096", around(T4))
    for size in ("fast", "quality"):
        draft = answered(draft, "size", size, around(T4))
        assert draft.value("training.max_length") == "4096"


def test_an_answer_that_says_what_stands_already_is_none() -> None:
    assert answered(Draft("demo-cpu"), "adapter.r", "16", around(CPU)) == Draft("demo-cpu")
    changed = answered(Draft("demo-cpu"), "adapter.r", "8", around(CPU))
    assert answered(changed, "adapter.r", "16", around(CPU)) == Draft("demo-cpu")


def test_a_method_takes_the_place_of_its_fields_and_they_of_it() -> None:
    draft = answered(Draft("demo-cpu"), "method", "dora", around(CPU))
    assert answered(draft, "adapter.use_dora", "false", around(CPU)).value("method") == "lora"
    draft = answered(Draft("demo-cpu"), "adapter.use_dora", "true", around(CPU))
    assert answered(draft, "method", "qlora", around(CPU)).recipe().adapter.use_dora is False


def test_the_first_draft_is_a_good_run_on_any_machine() -> None:
    for hardware in (CPU, T4):
        draft = first_draft(around(hardware))
        assert draft.problems() == []
    assert first_draft(Surroundings.unknown()).problems() == []
    assert refreshed(own(), Surroundings.unknown()).suggestions == ()


def test_consent_is_offered_only_for_rungs_that_can_be_taken() -> None:
    assert [each.value for each in offered("ladder.costly", Draft("demo-cpu"))] == [
        "[]",
        '["halve_rank"]',
        '["halve_rank", "only_q_and_v"]',
    ]
    assert offered("ladder.costly", Draft("trinity-gemma3-12b-16gb"))[0].label == "As it is"


@pytest.mark.parametrize("draft", [Draft("demo-cpu"), own(), own(CPU, "bundled:smollm2-135m-instruct")])
def test_every_offered_answer_is_one_that_is_taken(draft: Draft) -> None:
    for step in STEPS:
        for question in questions(draft, step, with_advanced=True):
            for choice in question.choices(draft, around(T4)):
                fault = draft.problem(question.name, choice.value)
                assert fault == "" or "there is no rows.jsonl" in fault, (question.name, choice.value)


def test_rows_that_nobody_recognises_need_columns_or_a_template(tmp_path: Path) -> None:
    path = tmp_path / "odd.jsonl"
    path.write_text("\n".join(json.dumps({"Was?": "a", "wie": "b"}) for _ in range(5)))
    draft = answered(own(), "data.dataset", str(path), around(T4))
    assert is_undetected(draft)
    found = detected(draft)
    assert found is not None
    assert found.columns == ("Was?", "wie")
    data = next(step for step in STEPS if step.name == "data")
    assert "data.template" in [each.name for each in questions(draft, data)]
    mended = answered(draft, "data.template", "{Was?} -> {wie}", around(T4))
    assert not is_undetected(mended)
    known = answered(draft, "data.columns", '{ prompt = "Was?", completion = "wie" }', around(T4))
    told = detected(known)
    assert told is not None
    assert told.reason.startswith("prompt_completion")


def test_every_way_of_training_that_a_recipe_can_say_is_offered() -> None:
    adapters = [
        method_of(base, rslora, dora)
        for base in ("lora", "qlora")
        for rslora in (False, True)
        for dora in (False, True)
    ]
    assert sorted(each.value for each in offered("method", Draft("demo-cpu"))) == sorted(["full", *adapters])
