"""What name_or_path means, and what is said about a local model that cannot be used. No network is touched."""

from __future__ import annotations

import json
import os
import struct
import subprocess
import sys
from pathlib import Path

import pytest

from engine.errors import ModelError
from engine.gguf_header import read_gguf_header
from engine.known_models import KNOWN_MODELS
from engine.model_shape import ModelShape
from engine.model_source import fetch, fetch_config, locate

HEADER = json.dumps({"w": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}}).encode()
WEIGHTS = struct.pack("<Q", len(HEADER)) + HEADER + bytes(8)


@pytest.fixture(name="model")
def complete_model(tmp_path: Path) -> Path:
    """A complete model folder, as small as can be."""
    folder = tmp_path / "my-model"
    folder.mkdir()
    (folder / "config.json").write_text('{"model_type": "llama"}')
    (folder / "tokenizer.json").write_text("{}")
    (folder / "model.safetensors").write_bytes(WEIGHTS)
    return folder


def error_of(name: str, base_dir: Path, revision: str | None = None) -> ModelError:
    with pytest.raises(ModelError) as caught:
        locate(name, base_dir=base_dir, revision=revision)
    return caught.value


def test_a_complete_folder_is_located_and_fetched_as_it_is(model: Path, tmp_path: Path) -> None:
    source = locate("my-model", base_dir=tmp_path)
    assert (source.kind, source.path) == ("folder", model)
    assert fetch(source, offline=True) == model
    assert fetch_config(source, offline=True) == {"model_type": "llama"}


def test_an_existing_folder_wins_over_a_hub_id(model: Path, tmp_path: Path) -> None:
    (tmp_path / "google").mkdir()
    model.rename(tmp_path / "google" / "gemma-3-270m")
    assert locate("google/gemma-3-270m", base_dir=tmp_path).kind == "folder"


def test_a_name_without_such_a_path_is_a_hub_id_with_its_licence_if_known(tmp_path: Path) -> None:
    source = locate("google/gemma-3-270m", base_dir=tmp_path, revision="main")
    assert (source.kind, source.path, source.revision) == ("hub", None, "main")
    assert "Gemma Terms" in (source.licence or "")


def test_a_bundled_model_says_that_its_weights_are_dequantized(tmp_path: Path) -> None:
    source = locate("bundled:smollm2-135m-instruct", base_dir=tmp_path)
    assert source.kind == "bundled"
    assert "dequantized 4-bit" in (source.note or "")
    assert source.licence == "Apache-2.0"
    assert fetch(source, offline=True).suffix == ".gguf"


@pytest.mark.slow
def test_the_facts_shipped_for_the_bundled_model_are_those_of_its_file(tmp_path: Path) -> None:
    source = locate("bundled:smollm2-135m-instruct", base_dir=tmp_path)
    assert source.path is not None
    header = read_gguf_header(source.path)
    assert header.config is not None
    assert fetch_config(source, offline=True) == dict(KNOWN_MODELS[source.name_or_path].config)
    shape = ModelShape.from_config(header.config)
    assert shape == ModelShape.from_config(fetch_config(source, offline=True))
    assert shape.num_parameters == header.num_parameters


@pytest.mark.parametrize("name", ["./my-modle", "../{parent}/my-modle", "a/b/c"])
def test_a_path_that_does_not_exist_is_not_taken_for_a_hub_id(name: str, model: Path, tmp_path: Path) -> None:
    error = error_of(name.format(parent=tmp_path.name), tmp_path)
    assert "There is no model at" in error.happened
    assert str(model) in error.remedy if "modle" in name else "my-model" in error.remedy


@pytest.mark.parametrize("lost", ["config.json", "tokenizer.json", "model.safetensors"])
def test_the_file_that_lacks_is_named(lost: str, model: Path, tmp_path: Path) -> None:
    (model / lost).unlink()
    assert f"{lost} is missing" in error_of("my-model", tmp_path).happened


def test_a_lost_shard_is_named(model: Path, tmp_path: Path) -> None:
    shards = ["model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"]
    (model / "model.safetensors").rename(model / shards[0])
    index = {"weight_map": {"a": shards[0], "b": shards[1]}}
    (model / "model.safetensors.index.json").write_text(json.dumps(index))
    assert f"{shards[1]} is missing" in error_of("my-model", tmp_path).happened


def test_pickled_weights_are_refused_and_safetensors_asked_for(model: Path, tmp_path: Path) -> None:
    (model / "model.safetensors").rename(model / "pytorch_model.bin")
    error = error_of("my-model", tmp_path)
    assert "only as pickle: pytorch_model.bin" in error.happened
    assert "safetensors only" in error.means


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (WEIGHTS[:-3], "damaged"),
        (b"", "cut short"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:ab\n", "Git LFS pointer"),
        (struct.pack("<Q", 4) + b"\xff{}x", "no readable header"),
    ],
)
def test_broken_weights_are_told_from_their_header(content: bytes, said: str, model: Path, tmp_path: Path) -> None:
    (model / "model.safetensors").write_bytes(content)
    assert said in error_of("my-model", tmp_path).happened


def test_a_broken_configuration_is_named(model: Path, tmp_path: Path) -> None:
    (model / "config.json").write_text("[1, 2")
    assert "config.json is not a JSON object" in error_of("my-model", tmp_path).happened


def test_an_adapter_is_told_from_a_model_and_its_base_is_named(model: Path, tmp_path: Path) -> None:
    (model / "config.json").unlink()
    (model / "adapter_config.json").write_text('{"base_model_name_or_path": "google/gemma-3-270m"}')
    assert "google/gemma-3-270m" in error_of("my-model", tmp_path).remedy


def test_a_folder_of_gguf_files_is_answered_with_the_file_to_name(model: Path, tmp_path: Path) -> None:
    (model / "config.json").unlink()
    (model / "small.gguf").write_bytes(b"GGUF")
    assert str(model / "small.gguf") in error_of("my-model", tmp_path).remedy


def test_a_file_that_only_has_the_name_of_a_gguf_is_refused(tmp_path: Path) -> None:
    (tmp_path / "x.gguf").write_text("<html>404</html>")
    assert "is not a GGUF file" in error_of("x.gguf", tmp_path).happened


def test_a_gguf_that_is_not_there_is_never_looked_for_on_the_hub(tmp_path: Path) -> None:
    assert "There is no model at" in error_of("models/x.gguf", tmp_path).happened


def test_a_revision_for_a_local_model_is_refused_instead_of_dropped(model: Path) -> None:
    error = error_of(model.name, model.parent, revision="v1.0")
    assert "model.revision = 'v1.0' cannot be applied" in error.happened


def test_looking_up_a_model_loads_neither_torch_nor_the_hub_library() -> None:
    code = (
        "import sys; from pathlib import Path; from engine.model_source import locate, fetch_config;"
        "fetch_config(locate('bundled:smollm2-135m-instruct', base_dir=Path.cwd()), offline=True);"
        "sys.exit(bool({'torch', 'transformers', 'huggingface_hub', 'gguf'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-P", "-c", code], check=False).returncode == 0


@pytest.mark.parametrize(
    "name", ["m" * 300, "m" * 300 + "/folder", "./" + "m" * 300 + ".gguf", "~nobody-of-that-name/model"]
)
def test_a_name_that_no_file_can_have_is_no_model(name: str, tmp_path: Path) -> None:
    assert error_of(name, tmp_path).happened.startswith("There is no model at ")


def test_a_pipe_is_no_model_and_nobody_waits_for_its_writer(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.gguf")
    assert "neither a model folder nor a .gguf file" in error_of("pipe.gguf", tmp_path).happened
