"""Every exporter, as it comes: found by being there, known before training, and cheap to ask."""

from __future__ import annotations

import re
import subprocess
import sys
from typing import get_args

import pytest

from engine.exporters import all_exporters, in_order
from engine.recipe import Problem, Recipe
from engine.recipe_sections import ExportSection

NAMES = sorted(all_exporters())
VALUES = {"model": {"name_or_path": "some/model"}, "data": {"dataset": "rows.jsonl"}}


@pytest.mark.parametrize("name", NAMES)
def test_an_exporter_has_a_name_a_line_of_help_and_knows_what_it_needs(name: str) -> None:
    each = all_exporters()[name]
    assert re.fullmatch(r"[a-z]+", name)
    assert 10 < len(each.HELP) <= 80 - 10
    assert "\n" not in each.HELP
    assert set(each.NEEDS) <= set(NAMES)
    assert in_order([name])[-1] == name


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("method", ["lora", "qlora", "full"])
def test_an_exporter_says_before_training_what_is_in_its_way(name: str, method: str) -> None:
    recipe = Recipe.from_values({**VALUES, "adapter": {"method": method}, "export": {"quantization": "Q4_K_M"}})
    for problem in all_exporters()[name].problems(recipe, None):
        assert isinstance(problem, Problem)
        assert problem.happened
        assert problem.remedy


def test_a_recipe_can_ask_for_every_kind_but_the_hub() -> None:
    (kinds,) = get_args(ExportSection.model_fields["to"].annotation)
    assert set(NAMES) - {"hub"} <= set(get_args(kinds))


def test_asking_the_exporters_loads_no_heavy_library() -> None:
    code = (
        "import sys\nfrom engine.exporters import all_exporters\nfrom engine.recipe import Recipe\n"
        f"recipe = Recipe.from_values({VALUES!r})\n"
        "[each.problems(recipe, {'architectures': ['LlamaForCausalLM']}) for each in all_exporters().values()]\n"
        "heavy = {'torch', 'transformers', 'peft', 'llama_cpp', 'gguf', 'matplotlib', 'nbformat', 'numpy'}\n"
        "print(sorted(heavy & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-P", "-c", code], capture_output=True, text=True, check=False)
    assert done.stdout.strip() == "[]", done.stdout + done.stderr
