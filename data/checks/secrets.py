"""Keys and tokens that open something. They are counted by kind and placed; none is ever shown.

The patterns follow gitleaks' rules (config/gitleaks.toml, MIT) for the services below, of which only keys are taken
that are told by their own form. detect-secrets 1.5.0 was tried: 2.4 MB/s, and no pattern for Anthropic, Hugging Face,
Google or today's OpenAI keys.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from data.findings import Level
from data.looking import Setup, Text, TextLooking

TITLE = "Keys and tokens"
LEVEL: Level = "warning"
MEANS = "A model can give them away word for word; whoever owns them should withdraw them, too."
IS_DROPPABLE = True
EXAMPLE = ({"prompt": "How do I log in?", "completion": f"With hf_{'a' * 34}, or ghp_{'a' * 36}."},)

_GITHUB_SIGNS = ("ghp_", "gho_", "ghu_", "ghs_", "ghr_", "github_pat_")
_OPENAI = (
    r"(?<![\w-])sk-(?!ant-)[\w-]{20,}T3BlbkFJ[\w-]{20,}|\bsk-(?:proj|svcacct|admin)-[\w-]{40,}|\bsk-[A-Za-z0-9]{48}\b"
)
_SLACK = r"\bxox[abeoprs]-[0-9A-Za-z-]{10,}|hooks\.slack\.com/(?:services|workflows)/[A-Za-z0-9+/]{40,}"
_PRIVATE_KEY = r"-----BEGIN (?:[A-Z]+ )*PRIVATE KEY(?: BLOCK)?-----\s*[A-Za-z0-9+/=:\s]{40}"
_PASSWORD = r"\b[a-z][a-z0-9+.-]{2,15}://[^/\s:@{<$]{1,64}:[^/\s:@{<$]{3,64}@[\w-]"

# Kind, texts of which every match holds one, and the pattern.
_KINDS: tuple[tuple[str, tuple[str, ...], str], ...] = (
    ("AWS access key", ("AKIA", "ASIA", "ABIA", "ACCA"), r"\b(?:AKIA|ASIA|ABIA|ACCA)[A-Z2-7]{16}\b"),
    ("GitHub token", _GITHUB_SIGNS, r"\bgh[pousr]_[0-9a-zA-Z]{36}\b|\bgithub_pat_\w{82}\b"),
    ("GitLab token", ("glpat-",), r"\bglpat-[\w-]{20}"),
    ("Anthropic key", ("sk-ant-",), r"\bsk-ant-[\w-]{20,}"),
    ("OpenAI key", ("sk-",), _OPENAI),
    ("Hugging Face token", ("hf_",), r"\bhf_[A-Za-z]{34}\b"),
    ("Slack token or webhook", ("xox", "hooks.slack.com/"), _SLACK),
    ("Google API key", ("AIza",), r"\bAIza[\w-]{35}(?![\w-])"),
    ("Stripe key", ("_live_",), r"\b[rs]k_live_[0-9a-zA-Z]{10,}"),
    ("PyPI token", ("pypi-AgE",), r"\bpypi-AgE[\w-]{50,}"),
    ("npm token", ("npm_",), r"\bnpm_[A-Za-z0-9]{36}\b"),
    ("private key", ("PRIVATE KEY",), _PRIVATE_KEY),
    ("JSON web token", ("eyJ",), r"(?<![\w-])eyJ[\w-]{14,}\.eyJ[\w-]{14,}\.[\w-]{10,}"),
    ("password in an address", ("://",), _PASSWORD),
)
_COMPILED = tuple((kind, signs, re.compile(pattern)) for kind, signs, pattern in _KINDS)
_ALL_SIGNS = tuple(sign for _, signs, _ in _KINDS for sign in signs)
# Every key is at least so long but for Slack's, some private keys' first line, and passwords.
_LONG_RUN = b"x" * 14


def start(_: Setup) -> TextLooking:
    """The check, ready for the first rows."""
    return TextLooking(_is_suspect, secret_kinds)


def secret_kinds(text: str) -> Iterator[str]:
    """The kinds of keys that a text holds."""
    for kind, signs, pattern in _COMPILED:
        if any(sign in text for sign in signs) and pattern.search(text):
            yield kind


def _is_suspect(text: Text) -> bool:
    runs = text.runs
    return (
        (_LONG_RUN in runs and text.holds_any(_ALL_SIGNS))
        or ("@" in text.text and "://" in text.text)
        or "PRIVATE KEY" in text.text
    )
