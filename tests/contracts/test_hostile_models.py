"""Model folders and GGUF files made by somebody who means harm: nothing of theirs runs, nothing of ours leaks or hangs.

Every attack that would run code leaves a file behind when it succeeds, the canary.
"""

from __future__ import annotations

import contextlib
import json
import os
import pickle
import struct
import time
from pathlib import Path
from typing import Any

import pytest

from data.conversation import Conversation, Message
from data.errors import DataError
from engine.chat_markup import bounded_rendering
from engine.chat_markup.bounded_rendering import RefusedByTemplateError, rendered
from engine.chat_markup.deriving import derive
from engine.errors import FinetuiError, ModelError
from engine.gguf_header import read_gguf_header
from engine.model_folder import own_files
from engine.model_source import fetch, fetch_config, locate
from tests.bare_model import CONFIG, write_bare_model

REMOTE_CODE = {
    "config.json": {
        "model_type": "custom",
        "auto_map": {"AutoConfig": "evil.Evil", "AutoModelForCausalLM": "evil.Evil", "AutoModel": "evil.Evil"},
    },
    "tokenizer_config.json": {
        "auto_map": {"AutoTokenizer": ["evil.Evil", "evil.Evil"]},
        "tokenizer_class": "Evil",
    },
    "processor_config.json": {"auto_map": {"AutoProcessor": "evil.Evil"}, "processor_class": "Evil"},
    "generation_config.json": {"custom_generate": ".", "auto_map": {"AutoGenerationConfig": "evil.Evil"}},
}
"""What each file of a folder can say to have evil.py imported."""
PICKLES = ("pytorch_model.bin", "model.pt", "model.ckpt", "training_args.bin", "optimizer.pt", "adapter_model.bin")


@pytest.fixture
def canary(tmp_path: Path) -> Path:
    """A file that exists once an attack has run code."""
    return tmp_path / "canary"


class Bomb:
    """Unpickling it touches the canary."""

    def __init__(self, canary: Path) -> None:
        self.canary = canary

    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, (f"touch {self.canary}",)


def armed(folder: Path, canary: Path) -> None:
    """Every file by which a model's folder could have code run, beside what is there."""
    for name in PICKLES:
        (folder / name).write_bytes(pickle.dumps(Bomb(canary)))
    code = f"import pathlib\npathlib.Path({str(canary)!r}).touch()\nclass Evil: pass\n"
    for name in ("evil.py", "custom_generate/generate.py", "__init__.py", "conftest.py", "torch.py", "tokenizers.py"):
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(code)


def copied(model: Path, folder: Path) -> Path:
    folder.mkdir()
    for path in model.iterdir():
        (folder / path.name).write_bytes(path.read_bytes())
    return folder


def test_the_canary_of_these_tests_sings_when_code_runs(canary: Path) -> None:
    pickle.loads(pickle.dumps(Bomb(canary)))  # noqa: S301 - that is the attack
    assert canary.exists()


@pytest.mark.parametrize("name", PICKLES)
def test_pickled_weights_alone_are_refused_and_never_unpickled(tmp_path: Path, canary: Path, name: str) -> None:
    folder = write_bare_model(tmp_path / "model")
    (folder / "model.safetensors").unlink()
    (folder / name).write_bytes(pickle.dumps(Bomb(canary)))
    with pytest.raises(ModelError, match=r"only as pickle|is missing"):
        locate(str(folder), base_dir=tmp_path)
    assert not canary.exists()


@pytest.mark.parametrize("file", [None, *REMOTE_CODE])
def test_code_beside_good_weights_never_runs(
    tmp_path: Path, canary: Path, tiny_model_folder: Path, file: str | None
) -> None:
    from engine.training.model_loading import load_model
    from engine.training.tokenizer_loading import load_tokenizer

    folder = copied(tiny_model_folder, tmp_path / "model")
    armed(folder, canary)
    if file:
        path = folder / file
        before = json.loads(path.read_text()) if path.exists() else {}
        path.write_text(json.dumps({**before, **REMOTE_CODE[file]}))
    with contextlib.suppress(*([ModelError] if file else [])):
        load_tokenizer(folder)
    with contextlib.suppress(*([ModelError] if file else [])):
        load_model(folder, dtype="float32")
    assert not canary.exists()


def test_the_same_code_would_run_where_it_is_trusted(tmp_path: Path, canary: Path, tiny_model_folder: Path) -> None:
    from engine.training.tokenizer_loading import load_tokenizer

    folder = copied(tiny_model_folder, tmp_path / "model")
    armed(folder, canary)
    (folder / "tokenizer_config.json").write_text(json.dumps(REMOTE_CODE["tokenizer_config.json"]))
    with pytest.raises(ModelError):
        load_tokenizer(folder, trust_remote_code=True)
    assert canary.exists()


@pytest.mark.parametrize(
    "target", ["../other.safetensors", "/etc/passwd", "sub/x.safetensors", "a\0.safetensors", "a" * 5000, 3, None]
)
def test_an_index_cannot_name_a_file_outside_its_folder(tmp_path: Path, target: Any) -> None:
    folder = write_bare_model(tmp_path / "model")
    (folder / "model.safetensors").rename(tmp_path / "other.safetensors")
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": {"a": target}}))
    with pytest.raises(ModelError, match="no name of a file in this folder"):
        locate(str(folder), base_dir=tmp_path)


DEEP = b"[" * 100_000
FAULTY_FILES = {
    "a configuration nested without an end": ("config.json", b'{"a":' * 100_000),
    "an index nested without an end": ("model.safetensors.index.json", DEEP),
    "a header nested without an end": ("model.safetensors", struct.pack("<Q", len(DEEP)) + DEEP),
    "a header as large as the file": ("model.safetensors", struct.pack("<Q", 2**34 - 8), 2**34),
    "a configuration of 16 GiB": ("config.json", b"", 2**34),
    "a number of 5,000 digits": ("config.json", b'{"hidden_size": ' + b"9" * 5000 + b"}"),
    "a tensor before the file": ("model.safetensors", b'{"a":{"dtype":"F32","shape":[1],"data_offsets":[-9,0]}}'),
}


@pytest.mark.parametrize("attack", FAULTY_FILES)
def test_a_file_made_to_exhaust_its_reader_is_refused_in_no_time(tmp_path: Path, attack: str) -> None:
    folder = write_bare_model(tmp_path / "model")
    name, content, *size = FAULTY_FILES[attack]
    if content.startswith(b'{"a":{"dtype"'):
        content = struct.pack("<Q", len(content)) + content
    with (folder / name).open("wb") as file:
        file.write(content)
        file.truncate(*size or [len(content)])
    begun = time.process_time()
    with pytest.raises(ModelError):
        locate(str(folder), base_dir=tmp_path)
    assert time.process_time() - begun < 2


@pytest.mark.parametrize("sizes", [{"hidden_size": 10**12}, {"num_hidden_layers": 10**9}, {"vocab_size": 10**15}])
def test_a_configuration_of_absurd_sizes_is_computed_as_too_large_not_built(
    tmp_path: Path, sizes: dict[str, int]
) -> None:
    from engine.hardware import Hardware, emulate, read_hardware
    from engine.recipe import Recipe
    from engine.starting import prospect

    folder = write_bare_model(tmp_path / "model")
    (folder / "config.json").write_text(json.dumps({**CONFIG, **sizes}))
    rows = tmp_path / "rows.jsonl"
    rows.write_text('{"prompt": "a", "completion": "b"}\n' * 20)
    recipe = Recipe.from_values({"model": {"name_or_path": str(folder)}, "data": {"dataset": str(rows)}})
    hardware: Hardware = emulate(read_hardware(), "8GiB")
    begun = time.process_time()
    with contextlib.suppress(FinetuiError):
        prospect(recipe, hardware, base_dir=tmp_path)
    assert time.process_time() - begun < 3


@pytest.mark.parametrize("value", ["NaN", "-5", '"; touch x"', "[]", "{}", "null", "1e400", "true"])
def test_a_size_that_is_none_is_an_error_that_names_it(tmp_path: Path, value: str) -> None:
    from engine.model_shape import model_shape

    folder = write_bare_model(tmp_path / "model")
    text = json.dumps(CONFIG).replace('"hidden_size": 32', f'"hidden_size": {value}')
    (folder / "config.json").write_text(text)
    config = fetch_config(locate(str(folder), base_dir=tmp_path), offline=True)
    with pytest.raises(ModelError, match="hidden_size"):
        model_shape(config)


def gguf(values: bytes, num_tensors: int = 0, num_values: int = 1) -> bytes:
    return b"GGUF" + struct.pack("<IQQ", 3, num_tensors, num_values) + values


def text(value: bytes) -> bytes:
    return struct.pack("<Q", len(value)) + value


HOSTILE_HEADERS = {
    "2^63 values": (gguf(b"", 0, 2**63), 0),
    "2^40 tensors in a file with a hole": (gguf(b"", 2**40, 0), 2**30),
    "2^40 texts in a file with a hole": (gguf(text(b"k") + struct.pack("<IIQ", 9, 8, 2**40)), 2**30),
    "a text of 4 GiB": (gguf(text(b"k") + struct.pack("<IQ", 8, 2**32)), 2**33),
    "a text that ends before it begins": (gguf(text(b"k") + struct.pack("<IIQQ", 9, 8, 5000, 2**64 - 1)), 0),
    "a tensor of 100,000 dimensions": (
        gguf(text(b"a") + struct.pack("<I", 100_000) + struct.pack("<Q", 2**63) * 100_000, 1, 0),
        0,
    ),
    "arrays in arrays": (gguf(text(b"k") + struct.pack("<IIQ", 9, 9, 2) * 1000), 0),
    "a tensor beyond the file, named as a path": (
        gguf(text(b"../../x") + struct.pack("<IQIQ", 1, 2**62, 0, 2**60), 1, 0),
        0,
    ),
}


@pytest.mark.parametrize("attack", HOSTILE_HEADERS)
def test_a_gguf_header_of_absurd_counts_is_refused_in_no_time(tmp_path: Path, attack: str) -> None:
    content, size = HOSTILE_HEADERS[attack]
    path = tmp_path / "model.gguf"
    with path.open("wb") as file:
        file.write(content)
        file.truncate(max(size, len(content)))
    begun = time.process_time()
    with pytest.raises(ModelError, match="cannot be read as a GGUF file"):
        read_gguf_header(path)
    assert time.process_time() - begun < 1


@pytest.mark.parametrize(
    "name",
    ["../../etc", "a/../b", "a/b/c", "a b/c", "$(touch x)/b", "a/b;touch x", "-rf/x", "a/b\nc", "a/b\x1b[2J", "/etc/x"],
)
def test_a_model_name_is_a_hub_id_or_a_path_and_never_a_command(tmp_path: Path, name: str) -> None:
    with pytest.raises(ModelError):
        locate(name, base_dir=tmp_path)
    assert not list(tmp_path.iterdir())


def test_the_base_that_an_adapter_names_is_told_and_not_followed(tmp_path: Path) -> None:
    folder = tmp_path / "adapter"
    folder.mkdir()
    (folder / "adapter_config.json").write_text(json.dumps({"base_model_name_or_path": "/etc/shadow"}))
    with pytest.raises(ModelError, match="holds an adapter") as refused:
        fetch(locate(str(folder), base_dir=tmp_path), offline=True)
    assert "/etc/shadow" in refused.value.remedy


def test_links_out_of_a_model_folder_are_not_its_files(tmp_path: Path) -> None:
    secret = tmp_path / "id_rsa"
    secret.write_text("private")
    folder = write_bare_model(tmp_path / "model")
    (folder / "NOTICE").symlink_to(secret)
    (folder / "LICENSE").symlink_to("../id_rsa")
    (folder / "USE_POLICY.md").symlink_to("config.json")
    assert {path.name for path in own_files(folder)} == {
        "USE_POLICY.md",
        "config.json",
        "model.safetensors",
        "tokenizer.json",
    }


def test_the_links_of_the_hubs_cache_are_the_files_of_a_snapshot(tmp_path: Path) -> None:
    blobs, snapshot = tmp_path / "models--a--b" / "blobs", tmp_path / "models--a--b" / "snapshots" / "0123"
    blobs.mkdir(parents=True)
    snapshot.mkdir(parents=True)
    (blobs / "abc").write_text("{}")
    (snapshot / "config.json").symlink_to("../../blobs/abc")
    (snapshot / "NOTICE").symlink_to("/etc/passwd")
    assert [path.name for path in own_files(snapshot)] == ["config.json"]


ESCAPES = {
    "classes": "{{ ''.__class__.__mro__[1].__subclasses__() }}",
    "an attribute filter": "{{ ''|attr('__class__')|attr('__mro__')|last }}",
    "a format text": "{{ '{0.__class__.__init__.__globals__}'.format(raise_exception) }}",
    "a format map": "{{ '{a.__class__.__mro__}'.format_map({'a': 1}) }}",
    "the globals of a function": "{{ raise_exception.__globals__['__builtins__'] }}",
    "the globals of cycler": "{{ cycler.__init__.__globals__.os.system('touch CANARY') }}",
    "the globals of lipsum": "{{ lipsum.__globals__['os'].popen('touch CANARY').read() }}",
    "the template itself": "{{ self._TemplateReference__context.environment }}",
    "another file": "{% include '/etc/passwd' %}",
    "an import": "{% import '/etc/passwd' as x %}{{ x }}",
    "a changed message": "{{ messages.append(1) }}",
    "a generator's frame": "{{ (messages|map('upper')).gi_frame.f_globals }}",
}
EXHAUSTING = {
    "a range of a billion": "{% for i in range(10**9) %}{% endfor %}",
    "loops in loops": "{% for i in range(99999) %}{% for j in range(99999) %}{% endfor %}{% endfor %}",
    "a text that doubles": "{% set n = namespace(x='a' * 99) %}{% for i in range(60) %}{% set n.x = n.x ~ n.x %}"
    "{% endfor %}{{ n.x|length }}",
    "a text of 100 GB": "{{ 'a' * 10**11 }}",
    "a text padded to 100 GB": "{{ '%100000000000d'|format(1) }}{{ 'a'|center(10**11) }}",
    "a list that doubles": "{% set n = namespace(x=[1]) %}{% for i in range(60) %}{% set n.x = n.x + n.x %}"
    "{% endfor %}",
    "a macro that calls itself": "{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}",
    "work while it is compiled": "{{ ('a' * 50000000)|wordwrap(1)|length }}",
    "five million characters": "{{ 'a' * 5000000 }}",
    "brackets in brackets": "{{" + "(" * 5000 + "1" + ")" * 5000 + "}}",
}


@pytest.fixture(scope="module")
def tokenizer(tiny_models: Any) -> Any:
    """A real tokenizer, whose template the attacker writes."""
    return tiny_models.tiny_tokenizer("chatml")


USER = [{"role": "user", "content": "hi"}]


@pytest.mark.parametrize("attack", ESCAPES)
def test_a_chat_template_does_not_leave_its_sandbox(tokenizer: Any, canary: Path, attack: str) -> None:
    tokenizer.chat_template = ESCAPES[attack].replace("CANARY", str(canary))
    told = ""
    with contextlib.suppress(RefusedByTemplateError):
        told = rendered(tokenizer, USER, prompt=True).strip()
    assert told == ""
    assert not canary.exists()


@pytest.mark.parametrize("attack", EXHAUSTING)
def test_a_chat_template_is_bounded_in_time_and_memory(
    tokenizer: Any, monkeypatch: pytest.MonkeyPatch, attack: str
) -> None:
    monkeypatch.setattr(bounded_rendering, "SECONDS", 0.4)
    tokenizer.chat_template = EXHAUSTING[attack]
    with pytest.raises(RefusedByTemplateError):
        rendered(tokenizer, USER, prompt=True)
    monkeypatch.setattr(bounded_rendering, "SECONDS", 10.0)
    tokenizer.chat_template = "{{ messages[0].content }}"
    assert rendered(tokenizer, USER, prompt=True) == "hi"


def test_rows_meet_the_bound_as_an_error_about_their_template(tokenizer: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    from engine.training.rendering import Renderer

    monkeypatch.setattr(bounded_rendering, "SECONDS", 0.3)
    tokenizer.chat_template = EXHAUSTING["loops in loops"]
    row = Conversation((Message("user", "a"), Message("assistant", "b")), 7)
    with pytest.raises(DataError, match=r"Row 7: .*computes for more than"):
        Renderer(tokenizer, "chat", completion_only_loss=True).render(row)


def test_a_template_for_ollama_is_derived_within_the_same_bounds(
    tokenizer: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from engine.chat_markup.served_chat import rendering_of

    monkeypatch.setattr(bounded_rendering, "SECONDS", 0.3)
    tokenizer.chat_template = EXHAUSTING["loops in loops"]
    with pytest.raises(ModelError, match="computes for more than"):
        derive(rendering_of(tokenizer, "chat"))
