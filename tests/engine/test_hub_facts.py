"""What the hub says of a repository before anything is fetched: asked of a real server on 127.0.0.1."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from engine.errors import ModelError
from engine.hub_facts import repository_facts
from engine.model_hub import HubRequest

SIBLINGS = [("model.safetensors", 700), ("config.json", 30), ("pytorch_model.bin", 900), ("onnx/model.json", 5)]


class HubLike(BaseHTTPRequestHandler):
    """The hub's answer to a question about a model."""

    def do_GET(self) -> None:
        if "/owner/missing" in self.path:
            self.send_response(401)
            self.send_header("X-Error-Code", "RepoNotFound")
            body = b""
        else:
            told = {
                "id": "owner/name",
                "gated": "manual" if "/owner/gated" in self.path else False,
                "cardData": {"license": "other", "license_name": "own-terms"},
                "siblings": [{"rfilename": name, "size": size} for name, size in SIBLINGS],
            }
            body = json.dumps(told).encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Nothing: the test's output is its assertions."""


@pytest.fixture
def endpoint() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), HubLike)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def asked(endpoint: str, name: str) -> list[object]:
    """What a fresh process gets: the endpoint is read once, when the hub's library is loaded."""
    code = (
        "import json, sys\nfrom engine.errors import ModelError\nfrom engine.hub_facts import *\n"
        "from engine.model_hub import HubRequest\n"
        "try:\n    told = repository_facts(HubRequest(sys.argv[1], None, None, False))\n"
        "    print(json.dumps([told.num_bytes, told.licence, told.is_gated]))\n"
        "except ModelError as error:\n    print(json.dumps([error.happened]))\n"
    )
    environment = os.environ | {"HF_HUB_OFFLINE": "0", "HF_ENDPOINT": endpoint}
    done = subprocess.run(
        [sys.executable, "-P", "-c", code, name], env=environment, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    answer: list[object] = json.loads(done.stdout)
    return answer


def test_only_what_a_run_would_fetch_counts_and_licence_and_gate_are_told(endpoint: str) -> None:
    assert asked(endpoint, "owner/name") == [730, "own-terms", False]
    assert asked(endpoint, "owner/gated") == [730, "own-terms", True]


def test_a_model_that_is_not_there_is_one_of_our_errors(endpoint: str) -> None:
    assert "The hub has no model owner/missing" in str(asked(endpoint, "owner/missing")[0])


def test_offline_nobody_is_asked() -> None:
    with pytest.raises(ModelError, match="the network is switched off"):
        repository_facts(HubRequest("owner/name", None, None, offline=True))
