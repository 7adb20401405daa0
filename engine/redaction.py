"""What a secret looks like, and texts without it. Used at the few places where foreign text enters what finetui keeps.

Those are events, what workers print (their log files), errors on the screen and `last-error.txt`. Known are the values
of secret variables and of the hub's token file, and the forms of keys: those that `data.secret_forms` knows,
and looser ones, because a log loses nothing by a word too many. Rows are the user's data and pass unchanged. A recipe
that holds a secret is refused, not changed (`engine.recipe`). Not here: what is done with rows that hold one.
"""

from __future__ import annotations

import functools
import io
import json
import os
import re
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, TextIO

from data.secret_forms import PATTERNS, secret_kinds

MARK = "***"
MIN_VALUE_LENGTH = 8
LONG_VALUE = 20
"""Values of variables that are shorter than the first, or than the second and without a digit, are words of ordinary
text (`POSTGRES_PASSWORD=postgres`): to blot them out would garble logs and refuse recipes, and hide nothing."""
SECRET_NAMES = ("TOKEN", "SECRET", "PASSWORD", "PASSWD", "PASSPHRASE", "API_KEY", "APIKEY", "ACCESS_KEY", "PRIVATE_KEY")
"""Ends of the names of variables whose value opens something."""
PROXIES = frozenset(("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"))
SIGNS = (":/", "hf_", "sk-", "gh", "github_pat_", "glpat-", "xox", "hooks.slack.com/", "AIza", "eyJ", "AKIA", "ASIA")
MORE_SIGNS = ("ABIA", "ACCA", "_live_", "pypi-", "npm_", "%3A")
"""A text without any of these, and without the words below, holds no form of a key."""
WORDS = re.compile(r"bearer|authorization|token|key|sign|secret|passw|credential", re.IGNORECASE)
LONG_NAME = 16
"""Of a user name alone before the @ of an address: so long, it is a token."""
_START = r"(?:(?<![A-Za-z0-9])|(?<=[0-9\[]m))"
"""Before a key is no letter, unless it is the last one of a colour's escape sequence."""
# Around what is blotted out: group 1 is kept. What may be long is bounded: logs hold foreign text of any kind.
_LOOSE = (
    # A password may hold an @: up to the last one before the path. A path that was an address has lost one slash.
    re.compile(r"\b([a-z][a-z0-9+.-]{1,15}:/{1,2})[^\s/?#@:\"'<>]*:[^\s/?#\"'<>]*(?=@)", re.IGNORECASE),
    re.compile(rf"\b(https?:/{{1,2}})[^\s/?#@:\"'<>]{{{LONG_NAME},}}(?=@)", re.IGNORECASE),
    re.compile(
        r"([?&](?:[a-z-]*(?:token|signature|secret|password|credential)|api[_-]?key|key|sig)=)[^&#\s\"'<>]+",
        re.IGNORECASE,
    ),
    re.compile(
        r"(\b%3A(?:/|%2F){2}|:(?:/|%2F){2})[^\s/?#@\"'<>:]{1,64}%3A[^\s/?#@\"'<>:]{3,128}?(?=%40)", re.IGNORECASE
    ),
    re.compile(
        r"(\bauthorization\\?[\"']?\s{0,8}[=:]\s{0,8}\\?[\"']?(?:[a-z]{1,16}\s+)?)[\w.~+/=-]{12,}", re.IGNORECASE
    ),
    re.compile(r"(\b(?:bearer|basic)(?:\s|%20)+)(?=\S{0,256}\d)[\w.~+/-]{12,}=*", re.IGNORECASE),
    re.compile(
        r"((?:\b|_)(?:token|secret|password|passwd|api_?key|access_key)\\?[\"']?\s{0,8}[=:]\s{0,8}\\?[\"']?)"
        r"(?=[^\s\"']{0,256}\d)(?=[^\s\"']{0,256}[A-Za-z])[^\s\"',;{}()<|\\]{12,}",
        re.IGNORECASE,
    ),
    re.compile(rf"(){_START}(?:(?:hf|gh[pousr]|npm)_[A-Za-z0-9]{{20,}}|github_pat_\w{{20,}})"),
    re.compile(r"()(?:(?<![\w-])|(?<=[0-9\[]m))sk-(?:(?:ant|proj|svcacct|admin|or|live)-[\w-]{16,}|[A-Za-z0-9]{32,})"),
)
_BY_THEMSELVES = (*_LOOSE[:2], *_LOOSE[-2:])
"""Those that take nothing else for a secret: a recipe that holds one is refused."""


def redacted(text: str) -> str:
    """The text with every secret that is known or recognised replaced by `***`."""
    for value in known_values():
        for form in written_forms(value):
            if form in text:
                text = text.replace(form, MARK)
    if any(sign in text for sign in (*SIGNS, *MORE_SIGNS)) or WORDS.search(text):
        for pattern in _LOOSE:
            text = pattern.sub(rf"\g<1>{MARK}", text)
        for pattern in PATTERNS:
            text = pattern.sub(MARK, text)
    return text


def secret_in(text: str, known: Iterable[str] | None = None) -> str:
    """What kind of secret a text holds that somebody is about to keep, in words; "" for none.

    `known` are `known_values()`, for who asks of many texts at once.
    """
    if any(form in text for value in (known_values() if known is None else known) for form in written_forms(value)):
        return "a secret of this machine's environment"
    if kind := next(iter(secret_kinds(text)), ""):
        return f"{'an' if kind[0] in 'AO' else 'a'} {kind}"
    return "a key, or a password in an address" if any(each.search(text) for each in _BY_THEMSELVES) else ""


def known_values() -> Iterator[str]:
    """Secrets that this machine tells of itself, the longest first: one may be part of another."""
    found = set()
    for name, value in os.environ.items():
        if (upper := name.upper()).endswith(SECRET_NAMES):
            found.add(value.strip())
            found.update(line.strip() for line in value.splitlines() if "-----" not in line)
        elif upper in PROXIES:
            found.add(_password(value))
    found.add(_hub_token())
    yield from sorted(filter(_is_no_word, found), key=lambda each: (-len(each), each))


@functools.lru_cache(maxsize=64)
def written_forms(value: str) -> tuple[str, ...]:
    """A secret as it is, in an address, in JSON and in Python's own words for texts and bytes; the longest first."""
    from urllib.parse import quote, quote_plus

    own = (value, repr(value)[1:-1], ascii(value)[1:-1], repr(value.encode(errors="replace"))[2:-1])
    inside_both_quotes = value.replace("\\", "\\\\").replace("'", "\\'")
    addresses = (
        quote(value, errors="replace"),
        quote(value, "", errors="replace"),
        quote_plus(value, errors="replace"),
    )
    texts = (json.dumps(value)[1:-1], json.dumps(value, ensure_ascii=False)[1:-1])
    return tuple(sorted({*own, inside_both_quotes, *addresses, *texts}, key=lambda each: (-len(each), each)))


def redact_streams() -> None:
    """From now on, what Python writes to this process's stdout and stderr holds no secret. Done once per process.

    What native code writes goes past it: `redact_file` cleans that afterwards.
    """
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        # A stream that someone took the place of (a test, a UI) is not the process's own.
        if isinstance(stream, io.TextIOWrapper) and stream is getattr(sys, f"__{name}__"):
            stream.flush()
            setattr(sys, name, RedactedStream.around(stream))


class RedactedStream(io.TextIOWrapper):
    """A text stream to the same file, which leaves secrets out. Each `write` is looked at by itself."""

    @staticmethod
    def around(stream: TextIO) -> RedactedStream:
        return RedactedStream(
            stream.buffer, encoding=stream.encoding, errors="backslashreplace", line_buffering=True, write_through=True
        )

    def write(self, text: str, /) -> int:
        super().write(redacted(text))
        return len(text)


def redact_file(path: Path) -> bool:
    """Clean a file that a process has finished writing; whether something was found. A file that is gone is clean.

    The file keeps its name and its place on the disk: who reads it has it open.
    """
    try:
        fd = os.open(path, os.O_RDWR | os.O_NOFOLLOW)
    except OSError:
        return False
    with os.fdopen(fd, "r+b") as file:
        if os.fstat(fd).st_size > MAX_FILE_BYTES:
            return False
        before = file.read()
        text = before.decode("utf-8", "surrogateescape")
        after = redacted(text).encode("utf-8", "surrogateescape")
        if after == before:
            return False
        file.seek(0)
        file.write(after)
        file.truncate()
        return True


MAX_FILE_BYTES = 64 * 1024**2
"""Of a log that is cleaned afterwards, which takes its size in memory. Python's own words are clean in any."""


def redacted_values(value: Any) -> Any:
    """A value of plain types, with every text in it redacted."""
    if isinstance(value, str):
        return redacted(value)
    if isinstance(value, tuple | list):
        return type(value)(redacted_values(each) for each in value)
    if isinstance(value, dict):
        return {key: redacted_values(each) for key, each in value.items()}
    return value


def _is_no_word(value: str) -> bool:
    has_digit = any(c.isdigit() for c in value) and not value.isdigit()
    return len(value) >= (MIN_VALUE_LENGTH if has_digit else LONG_VALUE)


def _password(address: str) -> str:
    from urllib.parse import unquote, urlsplit

    try:
        return unquote(urlsplit(address).password or "")
    except ValueError:
        return ""


def _hub_token() -> str:
    """The token that `hf auth login` left on this machine, "" for none."""
    home = os.environ.get("HF_HOME") or os.path.join(  # noqa: PTH118 - asked before every event
        os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache"),  # noqa: PTH111
        "huggingface",
    )
    path = os.environ.get("HF_TOKEN_PATH") or os.path.join(home, "token")  # noqa: PTH118
    try:
        changed = os.stat(path).st_mtime_ns  # noqa: PTH116
    except OSError:
        return ""
    return _read_token(path, changed)


@functools.lru_cache(maxsize=1)
def _read_token(path: str, _changed: int) -> str:
    try:
        with open(path, encoding="utf-8", errors="replace") as file:  # noqa: PTH123
            return file.read(4096).strip()
    except OSError:
        return ""
