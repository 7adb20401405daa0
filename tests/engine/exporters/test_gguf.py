"""GGUF files of a run: made by upstream's parts, run again, compared, and kept out of the way when they fell apart."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from engine.errors import FinetuiError
from engine.event_log import EventWriter
from engine.events import Event, ExportProgressed
from engine.exporters import Job, verification
from engine.exporters.gguf import EXPORTER, gguf_file
from engine.exporters.verification import Measured, judge, perplexity_change
from engine.gguf_metadata import read_gguf_metadata
from engine.gguf_runtime.importance_file import read_importance
from engine.recipe import Recipe
from tests.engine.evaluation.conftest import Rig

pytestmark = pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated:FutureWarning")


class Wrecker(EventWriter):
    """Writes events, and fills the second half of a file with zeros just before it is loaded again."""

    def __init__(self, path: Path, place: Path) -> None:
        super().__init__(path)
        self.place = place

    def write(self, event: Event) -> None:
        super().write(event)
        if isinstance(event, ExportProgressed) and event.doing == "loading what was written":
            (file,) = self.place.glob(".*-Q8_0.gguf.unfinished-*/*.gguf")
            size = file.stat().st_size
            with file.open("r+b") as opened:
                opened.seek(size // 2)
                opened.write(bytes(size - size // 2))


def with_training_tokens(made: Rig) -> Rig:
    """The train split as preparation leaves it, tokens and all."""
    from engine.training.dataset_files import read_examples, write_split
    from engine.training.rendering import Renderer
    from engine.training.tokenizer_loading import load_tokenizer

    tokenizer = load_tokenizer(Path(json.loads(made.run.model.read_text())["folder"]))
    renderer = Renderer(tokenizer, "chat", True)
    write_split(made.run.dataset, "train", map(renderer.render, read_examples(made.run.dataset / "train.jsonl")))
    return made


def test_each_wanted_type_is_made_checked_and_put_in_place(rig: Callable[..., Rig], job_of: Callable[..., Job]) -> None:
    made = rig(answer_pattern=None)
    job = job_of(made, quantizations=["F16", "Q8_0"])
    half, quantized = EXPORTER.export(job)
    for event, name in ((half, "F16"), (quantized, "Q8_0")):
        assert (event.artifact, event.file_type) == (f"gguf-{name}", name)
        path = made.run.path / event.path
        assert path.name == f"{made.run.name}-{name}.gguf"
        assert read_gguf_metadata(path)[0]["general.file_type"] == {"F16": 1, "Q8_0": 7}[name]
        assert event.num_rows == 4
        assert abs(event.perplexity_change or 0.0) < 0.02
        assert event.seconds_per_answer is not None
    assert half.agreement == 1.0
    assert quantized.num_bytes < half.num_bytes
    assert sorted(path.name for path in (made.run.exports / "gguf").iterdir() if path.name.startswith(".")) == []
    again = EXPORTER.export(job)
    assert again == [half, quantized]


def test_a_quantized_file_whose_answers_fall_apart_is_not_put_in_place(
    rig: Callable[..., Rig], job_of: Callable[..., Job]
) -> None:
    made = rig(answer_pattern=None)
    job = job_of(made, quantizations=["Q8_0"])
    (event,) = EXPORTER.export(job)
    path = made.run.path / event.path
    before = path.read_bytes()
    writer = Wrecker(made.run.event_file("export"), path.parent)
    wrecked = replace(job, writer=writer, settings={**job.settings, "force": True})
    with pytest.raises(FinetuiError, match="does not answer as the tuned model does"):
        EXPORTER.export(wrecked)
    assert path.read_bytes() == before
    assert [each.name for each in path.parent.glob(".*")] == []
    assert gguf_file(job) == path


def test_an_importance_matrix_comes_with_its_measured_effect(
    rig: Callable[..., Rig], job_of: Callable[..., Job]
) -> None:
    made = with_training_tokens(rig(answer_pattern=None))
    (event,) = EXPORTER.export(job_of(made, quantizations=["Q6_K"], imatrix=True))
    assert event.artifact == "gguf-Q6_K-imatrix"
    told = " | ".join(event.notes)
    assert "importance matrix from 9 training rows" in told
    assert "without the matrix" in told
    assert "helped here" in told or "did not help here" in told
    assert "Q6_K is really" in told
    matrix = read_importance(made.run.exports / "gguf" / f"{made.run.name}.imatrix")
    assert len(matrix.sums) == 2 * 7
    assert set(matrix.sums) <= {tensor.name for tensor in read_gguf_metadata(made.run.path / event.path)[1]}


def test_what_is_in_the_way_is_known_before_training() -> None:
    wanted: dict[str, Any] = {"model": {"name_or_path": "x/y"}, "data": {"dataset": "rows.jsonl"}}
    recipe = Recipe.from_values(wanted | {"export": {"to": ["gguf"], "quantization": "Q8_0", "imatrix": True}})
    (matrix,) = EXPORTER.problems(recipe, None)
    assert matrix.field == "export.imatrix"
    assert "Q8_0" in matrix.happened
    found = EXPORTER.problems(Recipe.from_values(wanted | {"export": {"to": ["gguf"]}}), {"model_type": "mamba"})
    assert [each.field for each in found] == ["export.to"]
    assert "mamba" in found[0].happened


def a_file(**changed: Any) -> Measured:
    values: dict[str, Any] = {
        "num_rows": 100,
        "num_same_part": 100,
        "num_same": 100,
        "num_with_part": 100,
        "num_kept_part": 100,
        "perplexity": 2.0,
        "change": 0.0,
        "change_low": 0.0,
        "divergence": 0.0,
        "num_same_top": 400,
        "num_compared": 400,
        "seconds_per_answer": 0.1,
    }
    return Measured(**values | changed)


def test_what_a_type_may_lose_is_judged_by_the_whole_interval() -> None:
    judge("Q8_0", a_file(num_with_part=8, num_kept_part=7), has_pattern=True)
    with pytest.raises(FinetuiError, match="70 of 100 answers agree"):
        judge("Q8_0", a_file(num_kept_part=70), has_pattern=True)
    judge("Q8_0", a_file(num_kept_part=70), has_pattern=False)
    with pytest.raises(FinetuiError, match=r"is 0.5 nats \(at most 0.4"):
        judge("Q4_K_M", a_file(divergence=0.5), has_pattern=False)
    judge("Q4_K_M", a_file(change=0.4, change_low=-0.1), has_pattern=False)
    with pytest.raises(FinetuiError, match=r"rises by 40.0%"):
        judge("Q4_K_M", a_file(change=0.4, change_low=0.3), has_pattern=False)


def test_the_change_of_perplexity_is_paired_by_row() -> None:
    before = [(float(10 * row), 10) for row in range(1, 21)]
    change, low = perplexity_change(before, [(loss + 1.0, count) for loss, count in before])
    assert change == pytest.approx(0.10517, abs=1e-5)
    assert low == pytest.approx(change)
    assert perplexity_change([(0.0, 0)], [(0.0, 0)]) == (None, None)
    assert perplexity_change([(1.0, 1)] * 2, [(float("nan"), 1)] * 2) == (float("inf"), float("inf"))


def test_the_effect_of_a_matrix_is_said_as_it_is() -> None:
    helped = verification.effect_in_words(a_file(divergence=0.02), a_file(divergence=0.01), 1_000_000)
    assert helped.endswith("It helped here")
    hindered = verification.effect_in_words(a_file(divergence=0.0058), a_file(divergence=0.0080), 1_000_000)
    assert "KL 0.0058" in hindered
    assert hindered.endswith("It did not help here")
