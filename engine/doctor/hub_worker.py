"""What huggingface_hub understands of this machine, and whether the hub answers. Runs in the worker process.

Nothing is sent where the network is switched off. No token leaves this module: what is told of it is its form.
"""

from __future__ import annotations

import os
import re
import urllib.request
from typing import Any
from urllib.parse import urlsplit

WAIT_SECONDS = 4.0
TOKEN = re.compile(r"(hf_[A-Za-z0-9]{30,}|hf_(oauth|jwt)_[\w.-]+|api_org_[A-Za-z0-9]{30,})")
"""Access tokens of users, of OAuth and jobs, and of organizations, as the hub issues them."""


def hub_facts(*, is_offline: bool) -> dict[str, Any]:
    """Cache, token, telemetry and proxies as the libraries see them; `reached` "" if nothing was asked."""
    from huggingface_hub import constants, get_token

    token = get_token()
    facts: dict[str, Any] = {
        "cache": constants.HF_HUB_CACHE,
        "endpoint": without_password(constants.ENDPOINT),
        "token": "none" if not token else "valid" if TOKEN.fullmatch(token) else "odd",
        "token_source": "HF_TOKEN" if os.environ.get("HF_TOKEN") else "file",
        "offline": constants.HF_HUB_OFFLINE or is_offline,
        "telemetry_off": constants.HF_HUB_DISABLE_TELEMETRY,
        "proxies": {scheme: without_password(proxy) for scheme, proxy in urllib.request.getproxies().items()},
        "reached": "",
        "login": "",
    }
    if not facts["offline"]:
        facts |= _asked(constants.ENDPOINT, token)
    return facts


def _asked(endpoint: str, token: str | None) -> dict[str, str]:
    """Whether the hub answers a HEAD, and whether it knows the token."""
    import httpx2

    try:
        answer = httpx2.head(endpoint, timeout=WAIT_SECONDS, follow_redirects=True)
    except httpx2.HTTPError as error:
        return {"reached": f"{type(error).__name__}{_certificate(error)}"}
    except (OSError, ValueError, ImportError) as error:  # a proxy that is no address, a SOCKS proxy without its package
        return {"reached": type(error).__name__}
    if answer.status_code >= 500:
        return {"reached": f"HTTP {answer.status_code}"}
    return {"reached": "yes", "login": _login(token) if token else ""}


def _login(token: str) -> str:
    """The account that a token belongs to, "refused", or "" where the hub does not say."""
    import httpx2
    from huggingface_hub import HfApi, errors

    try:
        return str(HfApi().whoami(token=token).get("name", ""))
    except errors.HfHubHTTPError as error:
        return "refused" if getattr(error.response, "status_code", 0) == 401 else ""
    except (httpx2.HTTPError, OSError, ValueError, AttributeError):
        return ""


def _certificate(error: Exception) -> str:
    return " (certificate)" if "CERTIFICATE_VERIFY_FAILED" in str(error) else ""


def without_password(address: str) -> str:
    """An address without the user and password that it may hold."""
    try:
        parts = urlsplit(address)
        return parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()
    except ValueError:
        return "an address that cannot be read"
