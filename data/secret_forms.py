"""What keys and tokens look like that open something, by kind.

The patterns follow gitleaks' rules (config/gitleaks.toml, MIT) for the services below, of which only keys are taken
that are told by their own form. detect-secrets 1.5.0 was tried: 2.4 MB/s, and no pattern for Anthropic, Hugging Face,
Google or today's OpenAI keys. Not here: what is done about a row that holds one (`checks/secrets`), or about a text.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

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
PATTERNS = tuple(pattern for _, _, pattern in _COMPILED)
"""One per kind: what it matches is secret, or, of a password, stands around it."""
SIGNS = tuple(sign for _, signs, _ in _KINDS for sign in signs)
"""A text without any of these holds no key."""


def secret_kinds(text: str) -> Iterator[str]:
    """The kinds of keys that a text holds."""
    for kind, signs, pattern in _COMPILED:
        if any(sign in text for sign in signs) and pattern.search(text):
            yield kind
