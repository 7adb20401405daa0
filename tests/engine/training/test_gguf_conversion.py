"""GGUF -> model folder: a tiny random Llama for the cache's promises, the bundled model for what comes out."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import pytest
import torch
from transformers import AutoTokenizer
from transformers.modeling_gguf_pytorch_utils import GGUF_SUPPORTED_ARCHITECTURES

from engine.bundled_models import BUNDLED_MODELS, bundled_file
from engine.converted_models import MANIFEST, converted_folder
from engine.errors import ModelError
from engine.file_hashes import file_hashes
from engine.gguf_header import ARCHITECTURES
from engine.model_folder import check_folder, read_config
from engine.run_dir import cache_dir
from engine.training.gguf_conversion import Conversion, convert
from engine.training.gguf_tokenizer import tokenizer_at
from engine.training.model_loading import load_model
from engine.training.tokenizer_loading import load_tokenizer

PROBES = Path(__file__).parents[2] / "recorded" / "tokenizer_probes.jsonl"
HIDDEN, INTERMEDIATE, LAYERS, HEADS, KEY_VALUE_HEADS = 32, 48, 2, 4, 2


def byte_tokens() -> list[str]:
    """The 256 letters that byte-level tokenizers spell bytes with."""
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = [byte for byte in range(256) if byte not in printable]
    return [chr(byte) for byte in printable] + [chr(256 + place) for place in range(len(others))]


def write_gguf(path: Path, *, architecture: str = "llama", pre: str = "smollm", broken: bool = False) -> Path:
    """A random model with a byte vocabulary, in float32. `broken` puts a NaN into it."""
    random = np.random.default_rng(7)
    tokens = ["<|endoftext|>", "<|im_start|>", "<|im_end|>", *byte_tokens(), "ĠĠ", "ab"]
    writer = gguf.GGUFWriter(path, architecture)
    writer.add_context_length(64)
    writer.add_embedding_length(HIDDEN)
    writer.add_feed_forward_length(INTERMEDIATE)
    writer.add_block_count(LAYERS)
    writer.add_head_count(HEADS)
    writer.add_head_count_kv(KEY_VALUE_HEADS)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_rope_freq_base(10000.0)
    writer.add_vocab_size(len(tokens))
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre(pre)
    writer.add_token_list(tokens)
    writer.add_token_types([3, 3, 3] + [1] * (len(tokens) - 3))
    writer.add_token_merges(["Ġ Ġ", "a b"])
    writer.add_eos_token_id(2)
    writer.add_pad_token_id(2)

    def tensor(name: str, *shape: int) -> None:
        values = random.normal(size=shape).astype(np.float32)
        if broken:
            values.flat[0] = np.nan
        writer.add_tensor(f"{name}.weight", values)

    tensor("token_embd", len(tokens), HIDDEN)
    tensor("output_norm", HIDDEN)
    keys = HIDDEN // HEADS * KEY_VALUE_HEADS
    for layer in range(LAYERS):
        for name, outputs, inputs in (
            ("attn_q", HIDDEN, HIDDEN),
            ("attn_k", keys, HIDDEN),
            ("attn_v", keys, HIDDEN),
            ("attn_output", HIDDEN, HIDDEN),
            ("ffn_gate", INTERMEDIATE, HIDDEN),
            ("ffn_up", INTERMEDIATE, HIDDEN),
            ("ffn_down", HIDDEN, INTERMEDIATE),
        ):
            tensor(f"blk.{layer}.{name}", outputs, inputs)
        tensor(f"blk.{layer}.attn_norm", HIDDEN)
        tensor(f"blk.{layer}.ffn_norm", HIDDEN)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


@pytest.fixture
def tiny(tmp_path: Path) -> Path:
    return write_gguf(tmp_path / "tiny.gguf")


def state_of(folder: Path) -> dict[str, tuple[int, int]]:
    """Inode and modification time of every file: equal only if nothing was written."""
    return {file.name: (file.stat().st_ino, file.stat().st_mtime_ns) for file in folder.iterdir()}


def test_a_gguf_becomes_a_complete_folder_with_a_manifest_of_every_file(tiny: Path, tmp_path: Path) -> None:
    made = convert(tiny, tmp_path / "cache")
    check_folder(made.folder)
    manifest = json.loads((made.folder / MANIFEST).read_text())
    assert manifest["gguf"]["sha256"] == made.sha256 == file_hashes(tiny)[0][1]
    assert "float32" in manifest["weights"]
    listed = {(entry["name"], entry["sha256"], entry["bytes"]) for entry in manifest["files"]}
    assert listed == {entry for entry in file_hashes(made.folder) if entry[0] != MANIFEST}


def test_the_second_conversion_is_served_without_touching_a_file(tiny: Path, tmp_path: Path) -> None:
    first = convert(tiny, tmp_path / "cache")
    before = state_of(first.folder)
    again = convert(tiny, tmp_path / "cache")
    assert (first.from_cache, again.from_cache) == (False, True)
    assert again.folder == first.folder
    assert state_of(again.folder) == before


def test_a_conversion_is_found_without_making_one(tiny: Path, tmp_path: Path) -> None:
    assert converted_folder(tiny, tmp_path / "cache") is None
    assert not (tmp_path / "cache").exists()
    made = convert(tiny, tmp_path / "cache").folder
    assert converted_folder(tiny, tmp_path / "cache") == made
    (made / "tokenizer.json").unlink()
    assert converted_folder(tiny, tmp_path / "cache") is None, "a damaged one is none"


def test_the_weights_are_those_of_the_file_and_can_be_trained(tiny: Path, tmp_path: Path) -> None:
    model = load_model(convert(tiny, tmp_path / "cache").folder, dtype="float32")
    tensors = {tensor.name: torch.tensor(tensor.data) for tensor in gguf.GGUFReader(tiny).tensors}
    assert torch.equal(model.get_input_embeddings().weight, tensors["token_embd.weight"])
    assert torch.equal(model.get_submodule("model.layers.1.mlp.down_proj").weight, tensors["blk.1.ffn_down.weight"])
    assert getattr(model.config, "quantization_config", None) is None
    assert all(parameter.requires_grad for parameter in model.parameters())


@pytest.mark.parametrize("damage", ["cut", "changed", "lost", "no manifest"])
def test_a_damaged_conversion_is_never_served_but_made_again(damage: str, tiny: Path, tmp_path: Path) -> None:
    folder = convert(tiny, tmp_path / "cache").folder
    weights = folder / "model.safetensors"
    content = weights.read_bytes()
    if damage == "cut":
        weights.write_bytes(content[:-100])
    elif damage == "changed":
        weights.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    elif damage == "lost":
        (folder / "tokenizer.json").unlink()
    else:
        (folder / MANIFEST).unlink()
    again = convert(tiny, tmp_path / "cache")
    assert not again.from_cache
    assert (again.folder / "model.safetensors").read_bytes() == content


@pytest.mark.slow
def test_a_conversion_killed_half_way_leaves_nothing_that_is_served(tiny: Path, tmp_path: Path) -> None:
    """The process is killed in the moment before its folder would appear."""
    code = (
        "import os, signal, sys; from pathlib import Path; from engine.training import gguf_conversion as it\n"
        "Path.rename = lambda *_: os.kill(os.getpid(), signal.SIGKILL)\n"
        "it.convert(Path(sys.argv[1]), Path(sys.argv[2]))"
    )
    arguments = [sys.executable, "-P", "-c", code, str(tiny), str(tmp_path / "cache")]
    assert subprocess.run(arguments, check=False, capture_output=True).returncode == -signal.SIGKILL
    shelf = tmp_path / "cache" / "converted"
    assert [entry.name.startswith(".") for entry in shelf.iterdir()] == [True, True]
    made = convert(tiny, tmp_path / "cache")
    assert not made.from_cache
    assert [entry for entry in shelf.iterdir() if entry.is_dir()] == [made.folder], "what was left is cleared away"


@pytest.mark.slow
def test_of_two_processes_at_once_one_converts_and_the_other_is_served(tiny: Path, tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from engine.training.gguf_conversion import convert\n"
        "print(convert(Path(sys.argv[1]), Path(sys.argv[2])).from_cache)"
    )
    arguments = [sys.executable, "-P", "-c", code, str(tiny), str(tmp_path / "cache")]
    two = [subprocess.Popen(arguments, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) for _ in range(2)]
    assert sorted(process.communicate(timeout=120)[0].strip() for process in two) == ["False", "True"]


def test_padding_is_not_the_end_of_a_turn_and_the_length_is_known(tiny: Path, tmp_path: Path) -> None:
    folder = convert(tiny, tmp_path / "cache").folder
    tokenizer = load_tokenizer(folder)
    assert (tokenizer.pad_token, tokenizer.eos_token) == ("<|endoftext|>", "<|im_end|>")
    assert tokenizer.model_max_length == 64
    assert read_config(folder)["pad_token_id"] == tokenizer.pad_token_id == 0


def test_digits_are_cut_off_first_where_the_file_asks_for_it(tmp_path: Path) -> None:
    def tokens(pre: str) -> Any:
        made = convert(write_gguf(tmp_path / f"{pre}.gguf", pre=pre), tmp_path / "cache")
        return load_tokenizer(made.folder).tokenize("a  7")

    assert tokens("smollm") == ["a", "ĠĠ", "7"]
    assert tokens("gpt-2") == ["a", "Ġ", "Ġ", "7"]


def test_a_tokenizer_nobody_compared_is_told_of_each_time(tmp_path: Path) -> None:
    file = write_gguf(tmp_path / "strange.gguf", pre="strange-bpe")
    first, again = convert(file, tmp_path / "cache"), convert(file, tmp_path / "cache")
    assert "'strange-bpe'" in first.notes[0]
    assert again.from_cache
    assert again.notes == first.notes


def refusal(file: Path, tmp_path: Path) -> ModelError:
    with pytest.raises(ModelError) as caught:
        convert(file, tmp_path / "cache")
    left = [entry for entry in (tmp_path / "cache" / "converted").iterdir() if entry.is_dir()]
    assert left == []
    return caught.value


@pytest.mark.parametrize("kept", [10, 500, 4000, -100])
def test_a_truncated_file_is_refused(kept: int, tiny: Path, tmp_path: Path) -> None:
    tiny.write_bytes(tiny.read_bytes()[:kept])
    assert "cannot be read as a GGUF file" in refusal(tiny, tmp_path).happened


def test_a_file_that_is_no_gguf_is_refused(tmp_path: Path) -> None:
    (tmp_path / "x.gguf").write_text("not a model")
    assert "cannot be read as a GGUF file" in refusal(tmp_path / "x.gguf", tmp_path).happened


def test_an_unknown_architecture_is_named_with_those_that_are_known(tmp_path: Path) -> None:
    error = refusal(write_gguf(tmp_path / "m.gguf", architecture="mamba"), tmp_path)
    assert "'mamba'" in error.happened
    assert "llama, qwen2" in error.remedy


def test_weights_that_are_not_numbers_are_refused(tmp_path: Path) -> None:
    assert "not finite" in refusal(write_gguf(tmp_path / "nan.gguf", broken=True), tmp_path).happened


def test_a_cache_that_cannot_be_written_is_an_error_with_a_way_out(tiny: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ModelError) as caught:
        convert(tiny, tmp_path / "file")
    assert "FINETUI_CACHE" in caught.value.remedy


def test_every_architecture_on_our_list_is_one_that_transformers_converts() -> None:
    assert set(ARCHITECTURES) <= set(GGUF_SUPPORTED_ARCHITECTURES)


@pytest.fixture(scope="module")
def bundled() -> Conversion:
    """The bundled model, converted once for all tests of the session."""
    return convert(bundled_file(BUNDLED_MODELS[0]), cache_dir())


def recorded_probes() -> list[dict[str, Any]]:
    return [json.loads(line) for line in PROBES.read_text(encoding="utf-8").split("\n") if line]


@pytest.mark.slow(seconds=15)
def test_the_bundled_tokenizer_equals_llama_cpp_on_every_probe(bundled: Conversion) -> None:
    about, *probes = recorded_probes()
    assert about["gguf_sha256"] == bundled.sha256
    assert bundled.notes == ()
    tokenizer = load_tokenizer(bundled.folder)
    wrong = [
        probe["text"]
        for probe in probes
        if tokenizer(probe["text"], add_special_tokens=False, split_special_tokens=True)["input_ids"] != probe["ids"]
    ]
    assert (len(probes), wrong) == (839, [])


@pytest.mark.slow
def test_the_tokenizer_made_of_the_file_alone_is_the_one_of_its_conversion(bundled: Conversion) -> None:
    alone, converted = tokenizer_at(bundled_file(BUNDLED_MODELS[0])), tokenizer_at(bundled.folder)
    for name in ("chat_template", "pad_token", "eos_token", "bos_token", "model_max_length", "padding_side"):
        assert getattr(alone, name) == getattr(converted, name), name
    assert alone.get_vocab() == converted.get_vocab()
    _, *probes = recorded_probes()
    texts = [probe["text"] for probe in probes]
    assert alone(texts)["input_ids"] == converted(texts)["input_ids"]


@pytest.mark.slow
def test_without_our_cut_the_probes_would_tell() -> None:
    """The probes are worth something only if the tokenizer as transformers loads it fails them."""
    file = bundled_file(BUNDLED_MODELS[0])
    loaded = AutoTokenizer.from_pretrained(file.parent, gguf_file=file.name, local_files_only=True)
    _, *probes = recorded_probes()
    wrong = [
        probe
        for probe in probes
        if loaded(probe["text"], add_special_tokens=False, split_special_tokens=True)["input_ids"] != probe["ids"]
    ]
    assert len(wrong) == 52


@pytest.mark.slow
@pytest.mark.parametrize("quantization", [None, "nf4"])
def test_the_bundled_model_knows_the_capital_of_france(bundled: Conversion, quantization: Any) -> None:
    tokenizer = load_tokenizer(bundled.folder)
    model = load_model(
        bundled.folder, dtype="float32", quantization=quantization, double_quant=True, compute_dtype="bfloat16"
    )
    question = [{"role": "user", "content": "What is the capital of France?"}]
    prompt = tokenizer.apply_chat_template(question, add_generation_prompt=True, return_tensors="pt", return_dict=True)
    answer = model.generate(**prompt, max_new_tokens=8, do_sample=False)[0, prompt["input_ids"].shape[1] :]
    assert "Paris" in tokenizer.decode(answer)
    if quantization is None:
        assert answer[-1] == tokenizer.eos_token_id, "the answer ends by itself"


@pytest.mark.slow
def test_a_shorter_type_would_change_the_dequantized_weights(bundled: Conversion) -> None:
    """Why the converted folder holds float32."""
    model = load_model(bundled.folder, dtype="float32")
    total = sum(parameter.numel() for parameter in model.parameters())

    def changed(dtype: torch.dtype) -> float:
        lost = sum(int((parameter.to(dtype).float() != parameter).sum()) for parameter in model.parameters())
        return lost / total

    assert changed(torch.bfloat16) == pytest.approx(0.79, abs=0.01)
    assert changed(torch.float16) == pytest.approx(0.42, abs=0.01)
