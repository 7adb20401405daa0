"""Sending to the hub, against a server on loopback that answers as the hub does."""

from __future__ import annotations

import base64
import json
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, ClassVar

import pytest

from engine.errors import ModelError
from engine.exporters import Job, hub
from tests.engine.evaluation.conftest import Rig

pytestmark = pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated:FutureWarning")
TOKEN = "hf_s3cretTokenThatNobodyMaySee"


class FakeHub(BaseHTTPRequestHandler):
    """Takes a repository's creation and one commit; `refusal` is the status it answers everything with."""

    repos: ClassVar[dict[str, bool]] = {}
    files: ClassVar[dict[str, bytes]] = {}
    asked: ClassVar[list[tuple[str, str]]] = []
    refusal: ClassVar[int] = 0
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0)) or self._chunks()
        FakeHub.asked.append((self.path, self.headers.get("Authorization") or ""))
        if self.refusal:
            self._json(self.refusal, {"error": f"refused for {self.headers.get('Authorization')}"})
        elif self.path == "/api/repos/create":
            asked = json.loads(body)
            FakeHub.repos[f"{asked.get('organization') or 'me'}/{asked['name']}"] = asked.get("visibility") == "private"
            self._json(200, {"url": f"http://{self.headers['Host']}/me/{asked['name']}"})
        elif self.path == "/api/validate-yaml":
            self._json(200, {"errors": [], "warnings": []})
        elif "/preupload/" in self.path:
            names = [each["path"] for each in json.loads(body)["files"]]
            told = [{"path": name, "uploadMode": "regular", "shouldIgnore": False} for name in names]
            self._json(200, {"files": told})
        else:
            for line in map(json.loads, body.splitlines()):
                if line["key"] == "file":
                    FakeHub.files[line["value"]["path"]] = base64.b64decode(line["value"]["content"])
            self._json(
                200, {"commitUrl": f"http://{self.headers['Host']}/me/model/commit/{'a' * 40}", "commitOid": "a" * 40}
            )

    def do_GET(self) -> None:
        FakeHub.asked.append((self.path, self.headers.get("Authorization") or ""))
        found = [{"rfilename": name, "size": len(content)} for name, content in self.files.items()]
        about = {"id": "me/model", "sha": "a" * 40, "private": False, "tags": [], "siblings": found}
        self._json(self.refusal or 200, about)

    def _chunks(self) -> bytes:
        whole = b""
        if "chunked" in (self.headers.get("Transfer-Encoding") or ""):
            while size := int(self.rfile.readline().strip(), 16):
                whole += self.rfile.read(size)
                self.rfile.readline()
            self.rfile.readline()
        return whole

    def _json(self, status: int, value: Any) -> None:
        content = json.dumps(value).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_: object) -> None:
        """Nothing on the screen."""


@pytest.fixture
def fake_hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[type[FakeHub]]:
    import huggingface_hub

    FakeHub.repos, FakeHub.files, FakeHub.asked, FakeHub.refusal = {}, {}, [], 0
    server = ThreadingHTTPServer(("127.0.0.1", 0), FakeHub)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setenv("HF_ENDPOINT", f"http://127.0.0.1:{server.server_port}")
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    yield FakeHub
    server.shutdown()
    thread.join()
    server.server_close()


def everything_written(job: Job) -> bytes:
    return b"".join(path.read_bytes() for path in job.run.path.rglob("*") if path.is_file())


def test_without_push_nobody_is_asked_the_files_are_named_and_nothing_claims_to_lie_on_the_hub(
    fake_hub: type[FakeHub], rig: Callable[..., Rig], job_of: Callable[..., Job]
) -> None:
    (event,) = hub.EXPORTER.export(job_of(rig(), repo="me/model", what="adapter", private=True))
    assert fake_hub.asked == []
    assert (event.artifact, event.path) == ("hub-dry-run", "exports/adapter")
    assert "adapter_model.safetensors" in event.notes[0]
    assert "dry run: nothing was sent; --push would create http" in event.notes[1]
    assert "/me/model (private)" in event.notes[1]


def test_pushing_creates_the_repository_sends_the_files_and_finds_them_there(
    fake_hub: type[FakeHub], rig: Callable[..., Rig], job_of: Callable[..., Job], capfd: pytest.CaptureFixture[str]
) -> None:
    job = job_of(rig(), repo="me/model", what="adapter", private=True, push=True)
    (event,) = hub.EXPORTER.export(job)
    assert fake_hub.repos == {"me/model": True}
    folder = job.run.exports / "adapter"
    assert fake_hub.files["README.md"] == (folder / "README.md").read_bytes()
    assert fake_hub.files.keys() == hub.sent_files(folder).keys()
    assert not any(b"finetui-export" in content or "finetui-" in name for name, content in fake_hub.files.items())
    assert f"pushed {len(fake_hub.files)} files" in event.notes[1]
    assert any(TOKEN in authorization for _, authorization in fake_hub.asked)
    shown = capfd.readouterr()
    assert TOKEN.encode() not in everything_written(job) + (shown.out + shown.err).encode()


@pytest.mark.parametrize("status", [401, 403, 500])
def test_a_refusal_is_told_without_the_token(
    status: int,
    fake_hub: type[FakeHub],
    rig: Callable[..., Rig],
    job_of: Callable[..., Job],
) -> None:
    fake_hub.refusal = status
    job = job_of(rig(), repo="me/model", push=True)
    with pytest.raises(ModelError, match=f"HTTP {status}") as caught:
        hub.EXPORTER.export(job)
    assert TOKEN not in str(caught.value) + repr(caught.value.__cause__)
    assert TOKEN.encode() not in everything_written(job)


@pytest.mark.usefixtures("fake_hub")
def test_a_hub_that_is_not_there_is_said(
    rig: Callable[..., Rig], job_of: Callable[..., Job], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    with pytest.raises(ModelError, match="could not be reached"):
        hub.EXPORTER.export(job_of(rig(), repo="me/model", push=True))


@pytest.mark.usefixtures("fake_hub")
def test_nobody_logged_in_is_said_before_anything_is_made(
    rig: Callable[..., Rig], job_of: Callable[..., Job], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("HF_TOKEN")
    job = job_of(rig(), repo="me/model", push=True)
    with pytest.raises(ModelError, match="Nobody is logged in") as caught:
        hub.EXPORTER.export(job)
    assert "hf auth login" in caught.value.remedy
    assert not job.run.exports.exists()


def test_without_a_network_nothing_is_tried(rig: Callable[..., Rig], job_of: Callable[..., Job]) -> None:
    with pytest.raises(ModelError, match="network is switched off"):
        hub.EXPORTER.export(job_of(rig(), repo="me/model", push=True))
