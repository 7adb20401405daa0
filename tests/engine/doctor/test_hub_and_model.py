"""The hub and one model, asked by the worker process of a real server on 127.0.0.1 that answers as the hub does."""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Iterator
from http.server import ThreadingHTTPServer
from pathlib import Path

import pytest

from engine.doctor.finding import Finding
from engine.doctor.hub import hub
from engine.doctor.hub_worker import without_password
from engine.doctor.trying import Answers, answers_of
from engine.known_models import KNOWN_MODELS
from tests.engine.test_model_hub import FILES, HubLike

TOKEN = "hf_" + "secretSecretSecretSecretSecretSecret"[:34]
SETTINGS = json.dumps({"pad_token": None, "eos_token": {"content": "</s>"}, "chat_template": "{{ x }}"}).encode()


class Hub(HubLike):
    """Besides what `HubLike` answers: its front page, who a token belongs to, and tokenizer settings."""

    def do_GET(self) -> None:  # noqa: N802
        if self.path in ("/", "") or self.path.startswith("/api/whoami"):
            self.server.asked.append((self.path, self.headers.get("Authorization")))  # type: ignore[attr-defined]
            if "whoami" in self.path and self.headers.get("Authorization") != f"Bearer {TOKEN}":
                self.refuse(401, None, "Invalid user token.")
            else:
                self.answer(json.dumps({"type": "user", "name": "ada"}).encode())
        elif self.path.partition("?")[0].endswith("/tokenizer_config.json"):
            self.answer(SETTINGS)
        else:
            super().do_GET()

    def tree(self, pickled: bool) -> list[dict[str, object]]:
        settings = {"type": "file", "path": "tokenizer_config.json", "size": len(SETTINGS)}
        return [*super().tree(pickled), settings | {"oid": hashlib.sha1(SETTINGS).hexdigest()}]


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ThreadingHTTPServer]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    server.asked = []  # type: ignore[attr-defined]
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HF_HUB_OFFLINE", "0")
    monkeypatch.setenv("HF_ENDPOINT", f"http://127.0.0.1:{server.server_port}")
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hub"))
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    yield server
    server.shutdown()
    server.server_close()


def model_task(name: str, base_dir: Path, *, is_offline: bool = False) -> str:
    words = {"name": name, "base_dir": str(base_dir), "revision": None}
    return f"model {json.dumps(words | {'is_offline': is_offline, 'trust_remote_code': False})}"


def findings_of(answers: Answers, task: str) -> dict[str, Finding]:
    return {each["name"]: Finding.from_json(each) for each in answers[task]["findings"]}


def test_models_of_the_hub_are_told_apart_by_what_keeps_them_from_training(
    server: ThreadingHTTPServer, tmp_path: Path
) -> None:
    names = ("owner/name", "owner/gated", "owner/missing", "./no/such/folder")
    tasks = ["hub online", *(model_task(name, tmp_path) for name in names)]

    answers = answers_of(tasks)

    facts = {each.name: each for each in hub(answers["hub online"])}
    assert facts["model hub"].found == f"http://127.0.0.1:{server.server_port} answers"
    assert facts["hub token"].found == "a token is in HF_TOKEN, of ada"
    assert facts["telemetry"].found == "off"
    assert str(tmp_path / "hub" / "hub") in facts["hub cache"].found
    good, gated, missing, nowhere = (findings_of(answers, task) for task in tasks[1:])
    assert (good["model"].status, good["licence"].status) == ("ok", "ok")
    assert good["room for the model"].status == "ok"
    assert good["architecture"].status == "warn", "a configuration without any size"
    assert good["pad token"].found == "the settings name none; a run looks for one in the vocabulary"
    assert good["chat template"].found == "there is one"
    assert gated["licence"].status == "fail"
    assert "https://huggingface.co/owner/gated" in gated["licence"].remedy
    assert gated["licence"].command == "hf auth login"
    assert (missing["model"].status, missing["model"].command) == ("fail", "hf auth login")
    assert "There is no model at" in nowhere["model"].found
    assert TOKEN not in json.dumps(answers)


def test_a_token_that_the_hub_refuses_is_told_and_never_shown(
    server: ThreadingHTTPServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_shortSecret")

    answers = answers_of(["hub online"])

    token = {each.name: each for each in hub(answers["hub online"])}["hub token"]
    assert (token.status, token.command) == ("warn", "unset HF_TOKEN; hf auth login")
    assert "shortSecret" not in json.dumps(answers)
    assert ("/api/whoami-v2", "Bearer hf_shortSecret") in server.asked  # type: ignore[attr-defined]


def test_offline_sends_nothing_and_a_model_that_is_not_here_comes_with_the_command_that_fetches_it(
    server: ThreadingHTTPServer, tmp_path: Path
) -> None:
    task = model_task("owner/name", tmp_path, is_offline=True)

    answers = answers_of(["hub offline", task])

    assert server.asked == []  # type: ignore[attr-defined]
    facts = {each.name: each for each in hub(answers["hub offline"])}
    assert facts["model hub"].status == "ok"
    assert "offline" in facts["model hub"].found
    model = findings_of(answers, task)["model"]
    assert (model.status, model.command) == ("fail", "hf download owner/name")


@pytest.mark.usefixtures("server")
def test_no_network_is_a_warning_that_names_the_proxy_without_its_password(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_ENDPOINT", "http://hub.invalid")
    monkeypatch.setenv("HTTP_PROXY", "http://ada:password@127.0.0.1:9")

    answers = answers_of(["hub online"])

    found = {each.name: each for each in hub(answers["hub online"])}["model hub"]
    assert found.status == "warn"
    assert "by the http proxy http://127.0.0.1:9" in found.found
    assert "password" not in json.dumps(answers)
    assert without_password("https://u:p@host:1/x") == "https://host:1/x"


def test_a_broken_hub_library_is_a_finding(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "huggingface_hub.py").write_text("raise AttributeError('partially installed')\n")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))

    (found,) = hub(answers_of(["hub offline"])["hub offline"])

    assert found.status == "fail"
    assert "AttributeError: partially installed" in found.found
    assert "--force-reinstall --no-deps huggingface" in found.command


def local_model(folder: Path, vocabulary: list[str], **settings: str) -> Path:
    """A folder that holds what a model's does, with a tokenizer of whole words."""
    folder.mkdir()
    words = {"type": "WordLevel", "vocab": {word: number for number, word in enumerate(vocabulary)}, "unk_token": "a"}
    (folder / "config.json").write_text(json.dumps(dict(KNOWN_MODELS["bundled:smollm2-135m-instruct"].config)))
    (folder / "tokenizer.json").write_text(json.dumps({"version": "1.0", "added_tokens": [], "model": words}))
    settings = {"tokenizer_class": "PreTrainedTokenizerFast", **settings}
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))
    (folder / "model.safetensors").write_bytes(FILES["model.safetensors"])
    return folder


def test_a_local_model_without_any_token_to_pad_with_fails_and_a_whole_one_does_not(tmp_path: Path) -> None:
    whole = local_model(tmp_path / "whole", ["a", "<pad>", "</s>"], eos_token="</s>", chat_template="{{ messages }}")
    ending = local_model(tmp_path / "ending", ["a", "</s>"], eos_token="</s>")
    bare = local_model(tmp_path / "bare", ["a", "b"])
    tasks = [model_task(str(folder), tmp_path, is_offline=True) for folder in (whole, ending, bare)]

    answers = answers_of(tasks)

    found = [findings_of(answers, task) for task in tasks]
    assert {each.status for each in found[0].values()} == {"ok"}
    assert found[0]["architecture"].found == "llama, 135 M parameters"
    assert (found[0]["pad token"].found, found[0]["chat template"].found) == ("<pad>", "there is one")
    assert found[1]["pad token"].status == "warn", "it also ends answers"
    assert found[1]["chat template"].found.startswith("none: a base model")
    assert found[2]["pad token"].status == "fail"
    assert "tokenizer_config.json" in found[2]["pad token"].remedy
