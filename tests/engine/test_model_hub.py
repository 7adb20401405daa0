"""Hub models: a cache laid out as the hub's own, and a real server on 127.0.0.1 that answers as the hub does."""

from __future__ import annotations

import hashlib
import json
import os
import struct
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from engine.errors import ModelError
from engine.model_source import ModelSource, fetch, fetch_config, file_hashes, locate

HEADER = json.dumps({"w": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}}).encode()
FILES = {
    "config.json": b'{"model_type": "llama"}',
    "tokenizer.json": b"{}",
    "model.safetensors": struct.pack("<Q", len(HEADER)) + HEADER + bytes(8),
    "pytorch_model.bin": b"pickle",
    "modeling_own.py": b"print('never run')",
    "onnx/config.json": b"{}",
}
COMMIT = "c" * 40
TOKEN = "hf_secretSecretSecretSecretSecret"


def hub_cache(cache: Path, repo: str, names: list[str]) -> Path:
    """Lay out files as the hub's cache does; returns the snapshot folder."""
    folder = cache / f"models--{repo.replace('/', '--')}"
    snapshot = folder / "snapshots" / COMMIT
    for part in (folder / "refs", folder / "blobs", snapshot):
        part.mkdir(parents=True)
    (folder / "refs" / "main").write_text(COMMIT)
    for name in names:
        hashed = hashlib.sha256 if name.endswith(".safetensors") else hashlib.sha1
        blob = folder / "blobs" / hashed(FILES[name]).hexdigest()
        blob.write_bytes(FILES[name])
        (snapshot / name).symlink_to(Path("../../blobs") / blob.name)
    return snapshot


def hub(name: str) -> ModelSource:
    return ModelSource("hub", name, None)


def test_a_cached_model_is_found_without_a_network(tmp_path: Path) -> None:
    snapshot = hub_cache(tmp_path, "owner/name", ["config.json", "tokenizer.json", "model.safetensors"])
    assert fetch(hub("owner/name"), offline=True, cache_dir=tmp_path) == snapshot
    assert fetch_config(hub("owner/name"), offline=True, cache_dir=tmp_path) == {"model_type": "llama"}
    hashes = {name: digest for name, digest, _ in file_hashes(snapshot, cache_dir=tmp_path)}
    assert hashes == {name: hashlib.sha256(FILES[name]).hexdigest() for name in hashes}


def test_a_model_that_is_not_cached_offline_is_answered_with_the_folder_and_the_command(tmp_path: Path) -> None:
    with pytest.raises(ModelError) as caught:
        fetch(hub("owner/name"), offline=True, cache_dir=tmp_path)
    assert str(tmp_path / "models--owner--name") in caught.value.happened
    assert f"hf download owner/name --cache-dir {tmp_path}" in caught.value.remedy


def test_a_half_cached_model_offline_is_answered_with_the_file_that_lacks(tmp_path: Path) -> None:
    hub_cache(tmp_path, "owner/name", ["config.json", "tokenizer.json"])
    with pytest.raises(ModelError) as caught:
        fetch(hub("owner/name"), offline=True, cache_dir=tmp_path)
    assert "model.safetensors is missing" in caught.value.happened
    assert "hf download owner/name" in caught.value.remedy


def test_a_revision_that_is_not_cached_offline_is_named(tmp_path: Path) -> None:
    hub_cache(tmp_path, "owner/name", list(FILES)[:3])
    with pytest.raises(ModelError) as caught:
        fetch(ModelSource("hub", "owner/name", None, revision="v2"), offline=True, cache_dir=tmp_path)
    assert "at revision v2" in caught.value.happened


def test_a_preset_model_can_be_planned_before_anything_is_downloaded(tmp_path: Path) -> None:
    source = locate("google/gemma-3-12b-it", base_dir=tmp_path)
    assert fetch_config(source, offline=True, cache_dir=tmp_path)["text_config"]["hidden_size"] == 3840


class HubLike(BaseHTTPRequestHandler):
    """The hub's answers: status codes, X-Error-Code headers, tree listings and files."""

    protocol_version = "HTTP/1.1"

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        self.server.asked.append((self.path, self.headers.get("Authorization")))  # type: ignore[attr-defined]
        path = self.path.split("?")[0]
        if "/owner/missing" in path:
            self.refuse(401, "RepoNotFound", "Invalid username or password.")
        elif "/owner/down" in path:
            self.refuse(500, None, "Internal error")
        elif "/owner/forbidden" in path:
            self.refuse(403, None, "Forbidden")
        elif path.endswith("/revision/v9") or "/resolve/v9/" in path:
            self.refuse(404, "RevisionNotFound", "Invalid rev id: v9")
        elif path.startswith("/api/models/") and "/tree/" in path:
            self.answer(json.dumps(self.tree(pickled="owner/pickled" in path)).encode())
        elif path.startswith("/api/models/"):
            name = "/".join(path.split("/")[3:5])
            self.answer(json.dumps({"id": name, "modelId": name, "sha": COMMIT, "siblings": []}).encode())
        elif "/owner/gated" in path:
            self.refuse(403, "GatedRepo", "Access to model owner/gated is restricted.")
        else:
            self.answer(FILES[path.split("/", 5)[5]])

    def tree(self, pickled: bool) -> list[dict[str, object]]:
        names = [name for name in FILES if not (pickled and name.endswith(".safetensors"))]
        return [
            {"type": "file", "path": name, "size": len(FILES[name]), "oid": hashlib.sha1(FILES[name]).hexdigest()}
            for name in names
        ]

    def answer(self, body: bytes) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.send_header("ETag", f'"{hashlib.sha1(body).hexdigest()}"')
        self.send_header("X-Repo-Commit", COMMIT)
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(body)

    def refuse(self, status: int, code: str | None, message: str) -> None:
        self.send_response(status)
        if code:
            self.send_header("X-Error-Code", code)
        self.send_header("X-Error-Message", message)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Nothing: the test's output is its assertions."""


class Hub:
    """The server, and a fresh process that asks it."""

    def __init__(self, server: ThreadingHTTPServer, root: Path) -> None:
        self.server, self.root = server, root
        self.endpoint = f"http://127.0.0.1:{server.server_port}"
        server.asked = []  # type: ignore[attr-defined]

    @property
    def asked(self) -> list[tuple[str, str | None]]:
        return self.server.asked  # type: ignore[attr-defined, no-any-return]

    def fetch(
        self, name: str, *, revision: str | None = None, action: str = "fetch", endpoint: str | None = None
    ) -> dict[str, str]:
        """What a new process gets: {"result": …} or the three parts of the error."""
        code = (
            "import json, sys\nfrom pathlib import Path\nfrom engine.errors import ModelError\n"
            "from engine.model_source import *\nname, revision, action, root = json.loads(sys.argv[1])\n"
            "try:\n    source = locate(name, base_dir=Path(root), revision=revision)\n"
            "    result = (fetch if action == 'fetch' else fetch_config)(source, offline=False)\n"
            "    print(json.dumps({'result': str(result)}))\n"
            "except ModelError as error:\n"
            "    print(json.dumps({'happened': error.happened, 'means': error.means, 'remedy': error.remedy}))\n"
        )
        environment = {
            **os.environ,
            "HF_HUB_OFFLINE": "0",
            "HF_ENDPOINT": endpoint or self.endpoint,
            "HF_HUB_CACHE": str(self.root / "hub"),
            "HF_TOKEN": TOKEN,
            "HF_HUB_DISABLE_PROGRESS_BARS": "1",
        }
        arguments = json.dumps([name, revision, action, str(self.root)])
        shown = subprocess.run(
            [sys.executable, "-P", "-c", code, arguments], env=environment, capture_output=True, text=True, timeout=60
        )
        assert TOKEN not in shown.stdout + shown.stderr
        assert shown.returncode == 0, shown.stderr
        answer: dict[str, str] = json.loads(shown.stdout)
        return answer


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Hub]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), HubLike)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    yield Hub(server, tmp_path)
    server.shutdown()
    server.server_close()


def test_a_model_is_downloaded_without_pickles_code_or_other_forms_of_it(server: Hub) -> None:
    folder = Path(server.fetch("owner/name")["result"])
    assert sorted(file.name for file in folder.rglob("*")) == ["config.json", "model.safetensors", "tokenizer.json"]
    assert (folder / "model.safetensors").read_bytes() == FILES["model.safetensors"]
    assert any(token == f"Bearer {TOKEN}" for _, token in server.asked), "the token goes to the hub, and only there"


def test_planning_downloads_the_configuration_and_nothing_else(server: Hub) -> None:
    assert server.fetch("owner/name", action="config")["result"] == "{'model_type': 'llama'}"
    assert {path.rsplit("/", 1)[1] for path, _ in server.asked if "/resolve/" in path} == {"config.json"}


@pytest.mark.parametrize("action", ["fetch", "config"])
def test_a_gated_model_gets_its_licence_page_and_the_login_command(server: Hub, action: str) -> None:
    answer = server.fetch("owner/gated", action=action)
    assert "owner/gated is gated" in answer["happened"]
    assert "https://huggingface.co/owner/gated" in answer["remedy"]
    assert "hf auth login" in answer["remedy"]
    assert "HF_TOKEN" in answer["remedy"]


def test_a_model_that_does_not_exist_is_answered_with_local_names_like_it(server: Hub) -> None:
    (server.root / "owner" / "missing-one").mkdir(parents=True)
    answer = server.fetch("owner/missing")
    assert "The hub has no model owner/missing" in answer["happened"]
    assert str(server.root / "owner" / "missing-one") in answer["remedy"]


def test_a_revision_that_does_not_exist_is_named(server: Hub) -> None:
    assert "owner/name has no revision 'v9'" in server.fetch("owner/name", revision="v9")["happened"]


def test_a_refused_token_leads_to_a_new_login(server: Hub) -> None:
    answer = server.fetch("owner/forbidden", action="config")
    assert "hf auth login" in answer["remedy"], answer


def test_a_model_with_pickled_weights_only_is_refused(server: Hub) -> None:
    answer = server.fetch("owner/pickled")
    assert "model.safetensors is missing" in answer["happened"]
    assert "pickle" in answer["means"]
    assert not any(path.endswith(".bin") for path, _ in server.asked)


@pytest.mark.parametrize("action", ["fetch", "config"])
def test_a_hub_with_a_fault_of_its_own_is_not_blamed_on_the_user(server: Hub, action: str) -> None:
    answer = server.fetch("owner/down", action=action)
    assert "Try again later" in answer["remedy"], answer


@pytest.mark.parametrize("action", ["fetch", "config"])
def test_a_hub_that_cannot_be_reached_is_told_from_a_missing_model(server: Hub, action: str) -> None:
    answer = server.fetch("owner/name", action=action, endpoint="http://127.0.0.1:9")
    assert "could not be reached" in answer["happened"], answer
    assert "hf download owner/name" in answer["remedy"]
