"""Hub datasets, out of a cache laid out exactly as huggingface_hub lays it out, without any network; and
streamed from a server on loopback that answers as the hub does.

What the hub itself answers (gated, unknown) is made as the library makes it: its own error classes around a response.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import os
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar
from urllib.parse import unquote

import pytest

from data.errors import DataError
from data.preparation import DataRequest, prepare
from data.reading.hub import _explained
from data.sources import Part, SourceSettings, open_source
from tests.hub_cache import COMMIT, parquet, put

REPO = "google-research-datasets/mbpp"


def tasks(first: int, number: int) -> bytes:
    return parquet([{"task_id": n, "text": f"Write {n}.", "code": f"x = {n}"} for n in range(first, first + number)])


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    """A hub cache that holds one dataset: refs/main, a snapshot of links, blobs by their hash."""
    files = {
        "README.md": b"# mbpp",
        "full/train-00000-of-00001.parquet": tasks(0, 37),
        "full/test-00000-of-00001.parquet": tasks(100, 50),
        "full/prompt-00000-of-00001.parquet": tasks(200, 10),
        "sanitized/train-00000-of-00001.parquet": tasks(0, 12),
    }
    put(tmp_path / "hub", "datasets", REPO, files)
    return tmp_path / "hub"


def refusal(cache: Path, dataset: str = REPO, **settings: Any) -> DataError:
    with pytest.raises(DataError) as caught:
        open_source(dataset, SourceSettings(cache_dir=str(cache), offline=True, **settings))
    return caught.value


def test_a_cached_dataset_is_read_by_subset_and_split_without_a_network(cache: Path) -> None:
    settings = SourceSettings(cache_dir=str(cache), offline=True, subset="full")
    (part,) = open_source(REPO, settings)
    assert part.name == f"{REPO}/full/train-00000-of-00001.parquet"
    assert len(list(part.rows())) == 37


def test_all_splits_and_a_template_make_rows_out_of_any_columns(cache: Path) -> None:
    prepared = prepare(
        DataRequest(
            f"hub:{REPO}",
            template="Task: {text}\nSolution: {code}",
            subset="full",
            split="all",
            offline=True,
            cache_dir=str(cache),
        )
    )
    assert prepared.num_read == 97
    assert len(prepared.train) + len(prepared.eval) + len(prepared.test) == 97
    assert len(prepared.files) == 3
    assert prepared.detection.format == "template"
    assert prepared.train[0].request + prepared.train[0].answer == "Task: Write 200.\nSolution: x = 200"


def test_the_test_split_of_the_same_dataset_can_be_the_test_dataset(cache: Path) -> None:
    prepared = prepare(
        DataRequest(
            REPO,
            columns={"prompt": "text", "completion": "code"},
            subset="full",
            test_dataset=REPO,
            offline=True,
            cache_dir=str(cache),
        )
    )
    assert [len(prepared.train), len(prepared.eval), len(prepared.test)] == [33, 4, 50]


def test_several_subsets_must_be_chosen_from(cache: Path) -> None:
    error = refusal(cache)
    assert "full, sanitized" in error.happened
    assert "data.subset" in error.remedy


def test_a_subset_or_split_that_is_not_there_is_answered_with_those_that_are(cache: Path) -> None:
    assert "full, sanitized" in refusal(cache, subset="fulll").happened
    assert "prompt, test, train, all" in refusal(cache, subset="full", split="validation").happened


def test_a_dataset_or_revision_that_is_not_cached_names_the_folder_the_page_and_the_command(cache: Path) -> None:
    for error in (refusal(cache, "hub:owner/absent"), refusal(cache, revision="v2")):
        assert "the hub is out of reach" in error.happened
        assert "datasets--" in error.means
        assert "https://huggingface.co/datasets/" in error.remedy
        assert "hf auth login" in error.remedy


def test_a_link_into_nowhere_is_named(cache: Path) -> None:
    blob = (cache / "datasets--google-research-datasets--mbpp" / "snapshots" / COMMIT).glob("full/test*")
    next(blob).resolve().unlink()
    error = refusal(cache, subset="full")
    assert "full/test-00000-of-00001.parquet" in error.happened


def test_a_snapshot_that_the_cached_listing_shows_as_partial_is_refused(cache: Path) -> None:
    entry = cache / "datasets--google-research-datasets--mbpp"
    (entry / "trees").mkdir()
    listing = '{"format_version": 1, "files": {"full/other.parquet": {"size": 1, "blob_id": "a"}}}'
    (entry / "trees" / f"{COMMIT}.json").write_text(listing)
    assert "not wholly" in refusal(cache, subset="full").happened


def test_a_dataset_of_scripts_only_is_refused_with_its_page(cache: Path) -> None:
    for path in (cache / "datasets--google-research-datasets--mbpp" / "snapshots" / COMMIT).rglob("*.parquet"):
        path.unlink()
    assert "holds no file that is read" in refusal(cache).happened


def test_a_name_that_is_no_hub_name_is_refused(cache: Path) -> None:
    assert "no name of a hub dataset" in refusal(cache, "hub:a/b/c").happened


def test_the_offline_switch_of_the_environment_is_honoured_with_sockets_blocked(cache: Path) -> None:
    program = (
        "import socket, sys\n"
        "def blocked(*a, **k): raise AssertionError('a socket was opened')\n"
        "socket.socket.connect = socket.getaddrinfo = socket.create_connection = blocked\n"
        "from data.preparation import DataRequest, prepare\n"
        "columns = {'prompt': 'text', 'completion': 'code'}\n"
        "done = prepare(DataRequest(sys.argv[1], columns=columns, subset='sanitized'))\n"
        "print(len(done.train), len(done.eval), len(done.test))"
    )
    environment = {**os.environ, "HF_HUB_OFFLINE": "1", "HF_HUB_CACHE": str(cache)}
    done = subprocess.run(
        [sys.executable, "-P", "-W", "error", "-c", program, REPO],
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert (done.stdout.split(), done.stderr) == (["10", "1", "1"], "")


@pytest.mark.parametrize(
    ("error_class", "status", "happened", "remedy"),
    [
        ("GatedRepoError", 403, "is gated", "hf auth login"),
        ("RepositoryNotFoundError", 404, "shows no dataset", "hf auth login"),
        ("RevisionNotFoundError", 404, "no revision 'v9'", "data.revision"),
        ("HfHubHTTPError", 503, "could not be downloaded", "start again"),
    ],
)
def test_what_the_hub_answers_becomes_an_error_with_the_page_and_a_remedy(
    error_class: str, status: int, happened: str, remedy: str
) -> None:
    import httpx2
    from huggingface_hub import errors

    response = httpx2.Response(status, request=httpx2.Request("GET", "https://huggingface.co/api"))
    error = _explained(getattr(errors, error_class)("a", response=response), REPO, "v9")
    assert happened in error.happened
    assert remedy in error.remedy
    assert f"https://huggingface.co/datasets/{REPO}" in error.remedy


class FakeHub(BaseHTTPRequestHandler):
    """Answers what huggingface_hub asks for one dataset: what it is, its tree, and its files by ranges."""

    files: ClassVar[dict[str, bytes]] = {}
    asked: ClassVar[list[tuple[str, str]]] = []
    protocol_version = "HTTP/1.1"

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        path, _, _ = unquote(self.path).partition("?")
        if path.startswith("/datasets/owner/gated/resolve/"):
            self._answer(403, b"", {"X-Error-Code": "GatedRepo", "X-Error-Message": "Access is restricted."})
            return
        path = path.replace("owner/gated", REPO)
        if path.startswith(f"/api/datasets/{REPO}/tree/"):
            folder = path.partition("/tree/")[2].partition("/")[2]
            self._json(200, [entry for entry in self._tree() if str(Path(entry["path"]).parent) == (folder or ".")])
        elif path in (f"/api/datasets/{REPO}", f"/api/datasets/{REPO}/revision/{COMMIT}"):
            self._json(200, self._about(REPO))
        elif "/revision/" in path:
            self._answer(404, b"", {"X-Error-Code": "RevisionNotFound"})
        elif path.startswith(f"/datasets/{REPO}/resolve/{COMMIT}/"):
            self._file(self.files[path.partition(f"/{COMMIT}/")[2]])
        else:
            self._answer(404, b"", {"X-Error-Code": "RepoNotFound"})

    def _tree(self) -> list[dict[str, Any]]:
        return [
            {"type": "file", "path": name, "size": len(content), "oid": "a" * 40}
            for name, content in self.files.items()
        ]

    def _about(self, repo: str) -> dict[str, Any]:
        files = [{"rfilename": name, "size": len(content)} for name, content in self.files.items()]
        return {"id": repo, "sha": COMMIT, "private": False, "tags": [], "downloads": 0, "likes": 0, "siblings": files}

    def _file(self, content: bytes) -> None:
        asked = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range") or "")
        FakeHub.asked.append((self.path, self.headers.get("Range") or ""))
        if asked is None:
            self._answer(200, content, {})
            return
        first, last = int(asked[1]), min(int(asked[2] or len(content)), len(content) - 1)
        where = {"Content-Range": f"bytes {first}-{last}/{len(content)}"}
        self._answer(206, content[first : last + 1], where)

    def _json(self, status: int, value: object) -> None:
        self._answer(status, json.dumps(value).encode(), {"Content-Type": "application/json"})

    def _answer(self, status: int, content: bytes, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in (headers | {"Content-Length": str(len(content))}).items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture
def fake_hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[type[FakeHub]]:
    """A hub on loopback that huggingface_hub takes for the real one, with offline mode off."""
    import huggingface_hub

    server = ThreadingHTTPServer(("127.0.0.1", 0), FakeHub)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    address = f"http://127.0.0.1:{server.server_port}"
    monkeypatch.setattr(huggingface_hub.constants, "ENDPOINT", address)
    template = f"{address}/{{repo_id}}/resolve/{{revision}}/{{filename}}"
    monkeypatch.setattr(huggingface_hub.constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", False)
    huggingface_hub.HfFileSystem.clear_instance_cache()
    FakeHub.files, FakeHub.asked = {}, []
    yield FakeHub
    huggingface_hub.close_session()
    server.shutdown()
    thread.join()
    server.server_close()


def streamed(tmp_path: Path, dataset: str = REPO, **settings: Any) -> list[Part]:
    return open_source(dataset, SourceSettings(cache_dir=str(tmp_path / "empty"), stream=True, **settings))


def test_a_dataset_is_streamed_by_subset_and_split_and_nothing_is_kept(fake_hub: type[FakeHub], tmp_path: Path) -> None:
    rows = [{"text": f"Write {n}.", "code": f"x = {n}"} for n in range(300)]
    lines = "".join(json.dumps(row) + "\n" for row in rows).encode()
    fake_hub.files = {
        "README.md": b"# rows",
        "full/train-00000-of-00001.parquet": tasks(0, 37),
        "full/test.jsonl": lines,
        "full/validation.csv.gz": gzip.compress(b"text,code\na,b\n", mtime=0),
    }
    (part,) = streamed(tmp_path, subset="full")
    assert part.name == f"{REPO}/full/train-00000-of-00001.parquet"
    assert len(list(part.rows())) == len(list(part.rows())) == 37
    assert {path.rpartition("/")[2] for path, _ in fake_hub.asked} == {"train-00000-of-00001.parquet"}
    (part,) = streamed(tmp_path, subset="full", split="test")
    assert [row.value for row in part.rows()] == rows
    assert part.source_file().sha256 == hashlib.sha256(lines).hexdigest()
    (part,) = streamed(tmp_path, subset="full", split="validation")
    assert [row.value for row in part.rows()] == [{"text": "a", "code": "b"}]
    assert not list((tmp_path / "empty").rglob("*.parquet"))
    with pytest.raises(DataError, match="test, train, validation"):
        streamed(tmp_path, subset="full", split="prompt")


def test_only_the_blocks_that_are_wanted_of_a_large_file_are_fetched(fake_hub: type[FakeHub], tmp_path: Path) -> None:
    line = json.dumps({"text": "x" * 1000}).encode() + b"\n"
    fake_hub.files = {"train.jsonl": line * 30_000}
    (part,) = streamed(tmp_path)
    assert next(part.rows()).value == {"text": "x" * 1000}
    fetched = {asked for _, asked in fake_hub.asked}
    assert "" not in fetched
    assert all(int(asked.partition("-")[2]) < 12_000_000 for asked in fetched)


def test_a_complete_snapshot_in_the_cache_is_read_instead(fake_hub: type[FakeHub], cache: Path) -> None:
    (part,) = open_source(REPO, SourceSettings(cache_dir=str(cache), stream=True, subset="full"))
    assert len(list(part.rows())) == 37
    assert fake_hub.asked == []


def test_what_is_wrong_while_streaming_is_said_as_it_is_for_a_download(
    fake_hub: type[FakeHub], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import huggingface_hub

    fake_hub.files = {"train.jsonl": b'{"text": "x"}\n'}
    with pytest.raises(DataError, match="shows no dataset owner/absent"):
        streamed(tmp_path, "hub:owner/absent")
    with pytest.raises(DataError, match="no revision 'v9'"):
        streamed(tmp_path, revision="v9")
    (part,) = streamed(tmp_path, "hub:owner/gated")
    with pytest.raises(DataError, match="is gated"):
        list(part.rows())
    monkeypatch.setattr(huggingface_hub.constants, "ENDPOINT", "http://127.0.0.1:9")
    with pytest.raises(DataError, match="the hub is out of reach"):
        streamed(tmp_path)
    with pytest.raises(DataError, match="the hub is out of reach"):
        streamed(tmp_path, offline=True)
