"""The notebook: valid, the recipe's own sentences in it, and run from its first cell to its last."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nbformat
import pytest

from engine.exporters import Job, notebook
from engine.exporters.notebook_cells import notebook_of
from engine.file_hashes import sha256_of
from engine.recipe import Recipe, field_sentence
from engine.report.markdown import escaped
from tests.engine.evaluation.conftest import Rig

pytestmark = pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated:FutureWarning")


def sources(made: dict[str, Any], kind: str) -> list[str]:
    return ["".join(cell["source"]) for cell in made["cells"] if cell["cell_type"] == kind]


def recipe_of(model: Path, **data: Any) -> Recipe:
    return Recipe.from_values(
        {
            "title": "adds *numbers* <script>",
            "model": {"name_or_path": str(model)},
            "data": {"dataset": "rows.jsonl", "eval_fraction": 0.15, "test_fraction": 0.1, **data},
            "adapter": {"r": 4},
            "training": {"max_steps": 3, "per_device_train_batch_size": 4, "max_length": 128},
            "memory": {"probe": False},
            "evaluation": {"max_new_tokens": 4},
        }
    )


def test_a_notebook_of_a_recipe_alone_is_valid_and_explains_each_field_in_the_recipes_words() -> None:
    recipe = recipe_of(Path("owner/model"))
    assert notebook.EXPORTER.problems(recipe, None) == []
    made = notebook_of(recipe, {})
    nbformat.validate(nbformat.from_dict(made))
    notebook.check(made)
    assert made == notebook_of(recipe, {})
    text = "\n".join(sources(made, "markdown"))
    for name in ("adapter.r", "training.max_steps", "evaluation.max_new_tokens", "data.eval_fraction"):
        assert f"| `{name}` |" in text
        assert escaped(field_sentence(name)) in text
    assert "training.weight_decay" not in text, "only what the recipe sets is explained"
    assert text.startswith("# adds \\*numbers\\* \\<script\\>")
    assert made["metadata"]["kernelspec"]["name"] == "python3"
    assert made["metadata"]["accelerator"] == "GPU"


def test_its_recipe_is_the_same_recipe_with_its_rows_beside_it() -> None:
    recipe = recipe_of(Path("owner/model"), dataset="/home/ada/secret place/rows.jsonl", test_dataset="/x/held.csv")
    made = notebook_of(recipe, {"/home/ada/secret place/rows.jsonl": "ab" * 32})
    [cell] = [text for text in sources(made, "code") if text.startswith("%%writefile")]
    again = Recipe.parse(cell.split("\n", 1)[1])
    assert (again.data.dataset, again.data.test_dataset) == ("rows.jsonl", "held.csv")
    assert again.training == recipe.training
    assert again.adapter == recipe.adapter
    assert "secret place" not in json.dumps(made)
    [check] = [text for text in sources(made, "code") if "ROWS = " in text]
    assert '"rows.jsonl": "' + "ab" * 32 in check
    assert '"held.csv": ""' in check


def test_rows_of_a_generator_need_no_file() -> None:
    made = notebook_of(recipe_of(Path("owner/model"), dataset="generator:venvy", system="it's `x`"), {})
    assert not any("ROWS = " in text for text in sources(made, "code"))
    notebook.check(made)


def test_the_export_is_put_in_place_once_and_names_what_it_needs(
    rig: Callable[..., Rig], job_of: Callable[..., Job]
) -> None:
    job = job_of(rig())
    [event] = notebook.EXPORTER.export(job)
    file = job.run.path / event.path
    nbformat.validate(nbformat.read(file, as_version=4))
    assert event.num_bytes == file.stat().st_size
    assert event.notes == ("needs rows.jsonl beside it",)
    assert notebook.EXPORTER.export(job) == [event]
    asked = "please do number 101"
    assert asked in file.read_text(), "the first test row is what the tuned model is asked"


@pytest.mark.slow(seconds=90)
@pytest.mark.long
def test_every_cell_runs_and_says_what_it_should(tmp_path: Path, tiny_model_folder: Path) -> None:
    from nbclient import NotebookClient

    rows = [{"prompt": f"add {n} and {n + 1}", "completion": f"{n} + {n + 1} = {2 * n + 1}"} for n in range(80)]
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    hashes = {"rows.jsonl": sha256_of(tmp_path / "rows.jsonl")}
    whole = notebook.written(notebook_of(recipe_of(tiny_model_folder), hashes, prompt="add 1 and 2"))
    made = nbformat.reads(whole.decode(), as_version=4)
    client = NotebookClient(made, timeout=240, kernel_name="python3", resources={"metadata": {"path": str(tmp_path)}})
    done = client.execute()
    told = {"".join(cell.source): cell.outputs for cell in done.cells if cell.cell_type == "code"}

    def printed(wanted: str) -> str:
        [outputs] = [outputs for source, outputs in told.items() if wanted in source]
        return "".join(output.get("text", "") for output in outputs)

    assert "rows.jsonl: as expected" in printed("ROWS = ")
    assert "add 0 and 1" in printed("'inspect'")
    assert "micro-batch" in printed('"plan"') or "batch" in printed('"plan"')
    assert "The run is called recipe-1" in printed('"replay"')
    assert "tuned" in printed('"status"')
    curves = next(outputs for source, outputs in told.items() if '"report"' in source)
    assert sum("image/svg+xml" in output.get("data", {}) for output in curves) >= 2
    assert printed('"chat"').strip()
    assert "model.safetensors" in printed('"export"')
