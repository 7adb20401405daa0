"""The audit of dependencies that `make check` makes: here with an index of this machine that answers as PyPI does."""

from __future__ import annotations

import contextlib
import importlib.util
import json
import socket
import sys
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

CHECKOUT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def audit() -> Iterator[Any]:
    spec = importlib.util.spec_from_file_location("audit_of_dependencies", CHECKOUT / ".ci" / "audit.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # its dataclasses look themselves up there
    spec.loader.exec_module(module)
    yield module
    del sys.modules[spec.name]


@contextlib.contextmanager
def index_of(records: dict[str, dict[str, Any]]) -> Iterator[str]:
    """The address of an index that knows these packages, and answers 404 for others."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            name = self.path.split("/")[1]
            body = json.dumps(records.get(name, {})).encode()
            self.send_response(200 if name in records else 404)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


FAULT = {"id": "PYSEC-2026-1", "aliases": ["CVE-2026-1"], "fixed_in": ["2.1"], "link": "https://osv.dev/PYSEC-2026-1"}
WITHDRAWN = FAULT | {"id": "PYSEC-2026-2", "aliases": [], "withdrawn": "2026-11-01T00:00:00Z"}


def record(*vulnerabilities: dict[str, Any], yanked: bool = False) -> dict[str, Any]:
    return {"info": {"yanked": yanked}, "vulnerabilities": list(vulnerabilities)}


def packages(audit: Any, *names: str) -> list[Any]:
    return [audit.Package(name, "2.0+cpu", "MIT", "") for name in names]


def test_the_dependencies_of_this_checkout_are_pinned_satisfied_and_may_be_used(
    audit: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    assert audit.main(["--offline"]) == 0, capsys.readouterr().out
    told = capsys.readouterr().out
    assert "0 findings" in told
    assert int(told.split()[1]) > 100


def test_a_known_fault_fails_unless_it_is_listed_with_a_reason(audit: Any) -> None:
    with index_of({"torch": record(), "aiohttp": record(FAULT, WITHDRAWN)}) as index:
        wanted = packages(audit, "torch", "aiohttp")
        found, said = audit.advisories(index, wanted, [])
        assert found == ["aiohttp 2.0+cpu: PYSEC-2026-1, mended in 2.1: https://osv.dev/PYSEC-2026-1"]
        assert said == "2 of 2 asked, 1 found"
        accepted = [{"id": "CVE-2026-1", "package": "aiohttp", "reason": "its client is not used"}]
        assert audit.advisories(index, wanted, accepted) == ([], "2 of 2 asked, 0 found")
        elsewhere = [accepted[0] | {"package": "torch"}]
        assert len(audit.advisories(index, wanted, elsewhere)[0]) == 2
        (stale,) = audit.advisories(index, packages(audit, "torch"), accepted)[0]
        assert "concerns nothing that is installed" in stale


def test_a_version_that_was_withdrawn_fails(audit: Any) -> None:
    with index_of({"torch": record(yanked=True)}) as index:
        assert audit.advisories(index, packages(audit, "torch"), [])[0] == [
            "torch 2.0+cpu was withdrawn from the index"
        ]


def test_without_an_index_it_says_that_nothing_was_audited_and_fails_nobody(audit: Any) -> None:
    with index_of({}) as index:
        asked = audit.advisories(index, packages(audit, "a", "b", "c", "d"), [])
        assert asked == ([], "could not be fetched (HTTP 404): NOT AUDITED")
    found, said = audit.advisories(index, packages(audit, "torch"), [])  # nobody listens there any more
    assert found == []
    assert said.endswith("NOT AUDITED")


def test_a_package_that_the_index_does_not_know_is_named(audit: Any) -> None:
    with index_of({"torch": record(), "peft": record()}) as index:
        found, said = audit.advisories(index, packages(audit, "made-here", "torch", "peft"), [])
    assert found == []
    assert said == "2 of 3 asked, 0 found; NOT AUDITED: made-here"


def test_what_is_installed_otherwise_than_pinned_is_found(audit: Any) -> None:
    pinned = audit.pins("# a comment\nTorch==2.0\nmy_lib==1.0\n")
    assert pinned == {"torch": "2.0", "my-lib": "1.0"}
    every = [
        audit.Package("torch", "2.0+cpu", "BSD-3-Clause", ""),
        audit.Package("my-lib", "1.1", "MIT", ""),
        audit.Package("other", "3.0", "GPL-3.0-only", "https://example.org/other.whl"),
        audit.Package("nvidia-cublas-cu12", "12.0", "NVIDIA Proprietary Software", ""),
    ]
    assert list(audit.local_findings(every, pinned, {})) == [
        "my-lib 1.1 is installed, constraints.txt pins 1.0",
        "other 3.0 is installed and not pinned in constraints.txt",
        "other 3.0 was installed from https://example.org/other.whl, not from an index",
        "other 3.0: GPL-3.0-only; if it may be used, say why in [tool.finetui.audit.licences]",
    ]
    judged = list(audit.local_findings(every[2:3], {"other": "3.0"}, {"other": "runs beside it, as a program"}))
    assert judged == ["other 3.0 was installed from https://example.org/other.whl, not from an index"]


def test_a_requirement_that_is_not_installed_or_of_another_version_is_found(audit: Any) -> None:
    findings: list[str] = []
    project = {"dependencies": ["no-such-library-here", "pytest<1"], "optional-dependencies": {"x": ["nor-this"]}}
    assert "pytest" in {each.name for each in audit.closure(project, findings)}
    assert [each.partition(" ")[0] for each in findings] == ["pytest", "no-such-library-here"]


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n{",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nff\r\n{",
        b"no HTTP at all\r\n\r\n",
        b'HTTP/1.0 200 OK\r\n\r\n{"vulnerabilities": null}',
        b'HTTP/1.0 200 OK\r\n\r\n{"vulnerabilities": ["bad"]}',
        b"HTTP/1.0 200 OK\r\n\r\n<html>log in to this network</html>",
    ],
)
def test_half_an_answer_or_another_ones_is_no_audit_and_no_crash(audit: Any, answer: bytes) -> None:
    with index_that(lambda client: client.sendall(answer)) as index:
        findings, said = audit.advisories(index, packages(audit, "one"), [])
    assert findings == []
    assert "NOT AUDITED" in said


def test_an_answer_that_trickles_without_end_is_given_up(audit: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(audit, "SECONDS", 0.3)

    def trickle(client: socket.socket) -> None:
        client.sendall(b"HTTP/1.0 200 OK\r\n\r\n")
        with contextlib.suppress(OSError):
            while True:
                client.sendall(b" ")

    with index_that(trickle) as index:
        assert "does not end" in audit.advisories(index, packages(audit, "one"), [])[1]


@contextlib.contextmanager
def index_that(answers: Callable[[socket.socket], None]) -> Iterator[str]:
    """The address of a server that does this to who connects, once."""

    def serve() -> None:
        client, _ = listening.accept()
        with client:
            client.recv(65536)
            answers(client)

    with socket.create_server(("127.0.0.1", 0)) as listening:
        thread = threading.Thread(target=serve)
        thread.start()
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"
        thread.join(20)
        assert not thread.is_alive()
