"""Secrets in texts: what is left out of events, logs and errors, what is left alone, and what no recipe may hold."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from urllib.parse import quote, quote_plus

import pytest

from data.secret_forms import secret_kinds
from engine.errors import RecipeError
from engine.event_log import EventWriter
from engine.events import WarningRaised
from engine.recipe import Recipe
from engine.redaction import redact_file, redacted, secret_in
from tui_app.cli import main

HUB = "hf_" + "aB" * 17
GITHUB = "ghp_" + "a1B2" * 9
ANTHROPIC = "sk-ant-" + "api03-" + "xY9_" * 10
OPENAI = "sk-proj-" + "aB3-" * 12
WANDB = "0123456789abcdef0123456789abcdef01234567"


@pytest.mark.parametrize(
    ("text", "clean"),
    [
        (f"logged in with {HUB}.", "logged in with ***."),
        (f"401 for url: https://user:{HUB}@huggingface.co/a/b", "401 for url: https://***@huggingface.co/a/b"),
        ("https://me:p@ss@host/rows?x=1", "https://***@host/rows?x=1"),
        ("https:/me:pass@host is no folder", "https:/***@host is no folder"),
        ("HTTPS_PROXY=http://me:secret@proxy:3128", "HTTPS_PROXY=http://***@proxy:3128"),
        ("git+https://0123456789abcdef0123@host/x", "git+https://***@host/x"),
        ("GET /x?X-Amz-Signature=ab12&part=1", "GET /x?X-Amz-Signature=***&part=1"),
        ("{'Authorization': 'Bearer abcdef123456'}", "{'Authorization': 'Bearer ***'}"),
        ('api_key="abc123def456ghi"', 'api_key="***"'),
        (f"{GITHUB} {ANTHROPIC} {OPENAI}", "*** *** ***"),
    ],
)
def test_what_opens_something_is_left_out_and_the_rest_stays(text: str, clean: str) -> None:
    assert redacted(text) == clean


@pytest.mark.parametrize(
    "text",
    [
        "step 4: loss 2.1 at 447 tokens/s, num_tokens=123456789012345",
        "pad_token='<|endoftext|>' eos_token: <|im_end2345678|>, bos_token_id=151643",
        "git@github.com:owner/name and ssh://git@host/x",
        "https://huggingface.co/HuggingFaceTB/SmolLM2-135M/resolve/93efa2f097d58c2a74874c7e644dbc9b0cee75a2/x",
        "model.layers.0.self_attn.k_proj.weight sk-learn-of-some-length hf_models/hf_internal_testing",
        "C:/Users/me, me@example.org, s3://bucket/run, 12:30:01 host:8000/a@b",
        f"sha256 {'0f' * 32}",
    ],
)
def test_ordinary_words_of_a_log_stay_as_they_are(text: str) -> None:
    assert redacted(text) == text
    assert secret_in(text) == ""


def test_values_that_this_machine_keeps_secret_are_known(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("WANDB_API_KEY", WANDB)
    monkeypatch.setenv("MY_SERVICE_PASSWORD", "correct horse battery")
    monkeypatch.setenv("SHORT_TOKEN", "on")
    monkeypatch.setenv("POSTGRES_PASSWORD", "postgres")
    monkeypatch.setenv("https_proxy", "http://me:of-the-1-proxy@127.0.0.1:9")
    monkeypatch.setenv("HF_HOME", str(tmp_path))
    (tmp_path / "token").write_text("kept-by-hf-auth-login\n")
    text = f"{WANDB}, correct horse battery, on, postgres, of-the-1-proxy and kept-by-hf-auth-login"
    assert redacted(text) == "***, ***, on, postgres, *** and ***"
    assert secret_in("a table of postgres") == ""
    (tmp_path / "token").write_text("another-one-since-2026\n")
    os.utime(tmp_path / "token", ns=(1, 1))
    assert redacted("kept-by-hf-auth-login, another-one-since-2026") == "kept-by-hf-auth-login, ***"


def test_every_kind_that_is_looked_for_in_rows_is_left_out_of_logs() -> None:
    from data.checks.secrets import EXAMPLE

    for word in str(EXAMPLE[0]["completion"]).split():
        if list(secret_kinds(word)):
            assert "***" in redacted(word)
            assert list(secret_kinds(redacted(word))) == []


def test_an_event_is_kept_without_its_secret(tmp_path: Path) -> None:
    writer = EventWriter(tmp_path / "attempt-1.jsonl")
    writer.write(WarningRaised(text=f"401 Client Error: https://user:{HUB}@huggingface.co"))
    writer.close()
    line = (tmp_path / "attempt-1.jsonl").read_text()
    assert HUB not in line
    assert json.loads(line)["text"] == "401 Client Error: https://***@huggingface.co"


@pytest.mark.parametrize("field", ["model.name_or_path", "data.dataset", "run.name", "data.system", "data.columns"])
def test_a_recipe_that_holds_a_secret_is_refused_and_the_secret_is_not_repeated(field: str) -> None:
    values: dict[str, dict[str, object]] = {"model": {"name_or_path": "m"}, "data": {"dataset": "rows.jsonl"}}
    section, _, key = field.partition(".")
    secret = f"https://user:{HUB}@huggingface.co/a"
    values.setdefault(section, {})[key] = {"prompt": secret} if key == "columns" else secret
    with pytest.raises(RecipeError) as refused:
        Recipe.from_values(values)
    assert field in str(refused.value)
    assert "hf auth login" in str(refused.value)
    assert HUB not in str(refused.value)


WORKER = """
import logging, os, sys, warnings
from pathlib import Path
from engine.event_log import EventWriter
from engine.worker_edge import at_edge

def body():
    print("printed", sys.argv[2])
    logging.warning("logged %s", sys.argv[2])
    sys.stdout.flush()
    os.write(2, f"native {sys.argv[2]}\\n".encode())
    raise RuntimeError(f"401 for https://user:{sys.argv[2]}@huggingface.co")

sys.exit(at_edge(body, EventWriter(Path(sys.argv[1]))))
"""


def test_what_a_worker_prints_logs_and_dies_of_is_kept_without_secrets(tmp_path: Path) -> None:
    log, events = tmp_path / "attempt-1.txt", tmp_path / "attempt-1.jsonl"
    with log.open("ab") as file:
        subprocess.run([sys.executable, "-P", "-c", WORKER, str(events), HUB], stdout=file, stderr=file, check=False)
    said = log.read_text()
    assert [line for line in said.splitlines() if HUB in line] == [f"native {HUB}"]
    assert {"printed ***", "WARNING:root:logged ***"} <= set(said.splitlines())
    assert "RuntimeError: 401 for https://***@huggingface.co" in said
    assert HUB not in events.read_text()
    assert redact_file(log), "what native code wrote is cleaned once the worker has ended"
    assert HUB not in log.read_text()
    assert "native ***" in log.read_text()
    assert not redact_file(log)


def test_a_log_is_not_cleaned_through_a_link(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text(HUB)
    (tmp_path / "attempt-1.txt").symlink_to(tmp_path / "mine.txt")
    assert not redact_file(tmp_path / "attempt-1.txt")
    assert (tmp_path / "mine.txt").read_text() == HUB


ADDRESS = f"https://user:{HUB}@huggingface.co/owner/name"


@pytest.mark.parametrize(
    "words",
    [
        ["replay", ADDRESS],
        ["replay", "{recipe}", "--dry-run", "--set", f"model.name_or_path={ADDRESS}"],
        ["replay", "{recipe}", "--dry-run", "--set", HUB],
        ["replay", "{recipe}", "--dry-run", "--set", f"{HUB}=1"],
        ["replay", "{recipe}", "--dry-run", "--set", f"training.max_steps={HUB}"],
        ["new", "--model", ADDRESS, "--dataset", ADDRESS, "--save", "{folder}/kept.toml"],
        ["attach", HUB],
        ["status", ADDRESS],
        ["data", "inspect", ADDRESS],
        ["export", "{recipe}", "--to", "slurm", "--finetui", f"git+{ADDRESS}", "-o", "{folder}/job"],
        ["export", "{recipe}", "--to", "skypilot", "--bucket", ADDRESS, "-o", "{folder}/job"],
        ["queue", "add", "{recipe}", "--set", f"run.name={HUB}"],
    ],
)
def test_a_secret_on_the_command_line_is_neither_shown_nor_kept(
    words: list[str], tmp_path: Path, own_machine: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "r.toml").write_text('[model]\nname_or_path = "m"\n[data]\ndataset = "rows.jsonl"\n')
    (tmp_path / "rows.jsonl").write_text('{"prompt": "a", "completion": "b"}\n')
    code = main([word.format(recipe=tmp_path / "r.toml", folder=tmp_path) for word in words])
    said = "".join(capsys.readouterr())
    assert code not in (0, 1), said
    assert HUB not in said
    assert leaks(tmp_path, HUB) == leaks(own_machine, HUB) == []


def leaks(folder: Path, secret: str) -> list[str]:
    """The files below a folder that hold a secret."""
    return [str(path) for path in folder.rglob("*") if path.is_file() and secret.encode() in path.read_bytes()]


@pytest.fixture
def broken_command(monkeypatch: pytest.MonkeyPatch) -> None:
    import tui_app.commands.watching as watching

    def fail(_: object) -> int:
        raise ConnectionError(f"HTTPSConnectionPool: Proxy http://me:{HUB}@proxy refused")

    monkeypatch.setitem(watching.COMMANDS, "status", fail)


@pytest.mark.usefixtures("broken_command")
def test_the_last_error_is_kept_for_its_owner_without_secrets_and_follows_no_link(
    own_machine: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "theirs.txt").write_text("as it was")
    (own_machine / "last-error.txt").symlink_to(tmp_path / "theirs.txt")
    before = os.umask(0)
    try:
        assert main(["status"]) == 1
    finally:
        os.umask(before)
    kept = own_machine / "last-error.txt"
    assert "Proxy http://***@proxy refused" in kept.read_text()
    assert HUB not in kept.read_text() + "".join(capsys.readouterr())
    assert not kept.is_symlink()
    assert kept.stat().st_mode & 0o777 == 0o600
    assert (tmp_path / "theirs.txt").read_text() == "as it was"


ODD_VALUE = "Zx9+/q=w%r \"Tt7&y'U8#p\\\\Lü"
KEY = "hf_" + "QrStUvWxYz" * 3 + "abcd"


@pytest.mark.parametrize(
    "written",
    [
        json.dumps(ODD_VALUE),
        json.dumps(ODD_VALUE, ensure_ascii=False),
        repr(ODD_VALUE),
        ascii(ODD_VALUE),
        repr(ODD_VALUE.encode()),
        quote(ODD_VALUE),
        quote(ODD_VALUE, safe=""),
        quote_plus(ODD_VALUE),
    ],
)
def test_a_known_value_is_left_out_in_each_way_of_writing_it(written: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MY_API_TOKEN", ODD_VALUE)
    assert redacted(f"sent: {written}.").removeprefix("sent: ").removesuffix(".").strip("b\"'") == "***"


def test_each_line_of_a_value_of_several_is_left_out_by_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DEPLOY_PRIVATE_KEY", "-----BEGIN KEY-----\nline1abc99\nline2def88\n-----END KEY-----")
    assert redacted("  line1abc99\r\n\tline2def88 of -----BEGIN KEY-----") == "  ***\r\n\t*** of -----BEGIN KEY-----"


@pytest.mark.parametrize(
    ("text", "clean"),
    [
        (f"\x1b[31m{KEY}\x1b[0m", "\x1b[31m***\x1b[0m"),
        (f"\x1b[m{KEY}", "\x1b[m***"),
        ("\x1b[1msk-" + "a1" * 24, "\x1b[1m***"),
        ("sk-" + "0123456789abcdef" * 2, "***"),
        ("github_pat_11AAAAAAA0aBcDeFgHiJkL_mnopqrstuvwxyz", "***"),
        ("Authorization: Bearer abcdefghijklmnopqrstuvwxyz", "Authorization: Bearer ***"),
        ('{\\"authorization\\": \\"abcdefghijklmnopqrstuvwxyz\\"}', '{\\"authorization\\": \\"***\\"}'),
        ('{\\"password\\": \\"hunter2hunter2\\"}', '{\\"password\\": \\"***\\"}'),
        ("https%3A%2F%2Fuser%3As3cr3tpw%40host", "https%3A%2F%2F***%40host"),
    ],
)
def test_a_key_in_colours_in_json_within_json_or_in_a_header_is_left_out(text: str, clean: str) -> None:
    assert redacted(text) == clean


@pytest.mark.parametrize(
    "text", ["token=" * 20_000, "http:/" + ":" * 100_000, "ftp://" * 20_000, "authorization: " * 10_000]
)
def test_a_text_made_to_be_searched_for_long_is_not(text: str) -> None:
    start = time.process_time()
    redacted(f"{text} key")
    assert time.process_time() - start < 5  # the first two took a minute and more
