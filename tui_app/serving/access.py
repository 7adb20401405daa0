"""Who may talk to the server: the token, the cookie kept afterwards, and which hosts and origins are this machine's.

Loopback alone is not enough: every account on this machine reaches it, and so does every page in the person's
browser, by a plain link, a websocket (which no same-origin rule holds back), or a name that is made to point to
127.0.0.1 after the page was loaded. Pure: judges values. Not here: the server.
"""

from __future__ import annotations

import hmac
import re
import secrets
from collections.abc import Mapping
from dataclasses import dataclass

LOOPBACK = "127.0.0.1"
NAMES = frozenset((LOOPBACK, "localhost", "::1"))
"""Host names that a browser on this machine, or at the other end of `ssh -L`, uses. The port may differ there."""
HOST = re.compile(r"([A-Za-z0-9.-]+|\[[0-9A-Fa-f:.]+\])(?::\d{1,5})?", re.ASCII)
TOKEN_BYTES = 32
CONTENT_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; font-src 'self'; img-src 'self' data:; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
"""The browser loads nothing from anywhere else. xterm.js sets styles from its script, hence 'unsafe-inline' there."""
HEADERS = {
    "Content-Security-Policy": CONTENT_POLICY,
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}


def new_token() -> str:
    """A fresh secret, 43 characters that an address can hold."""
    return secrets.token_urlsafe(TOKEN_BYTES)


@dataclass(frozen=True, slots=True)
class Access:
    """The rules of one server. `cookie` is the name that the token is kept under; the port keeps two servers apart."""

    token: str
    port: int

    @property
    def cookie(self) -> str:
        return f"finetui-{self.port}"

    def refusal(
        self,
        *,
        host: str | None,
        origin: str | None,
        query: Mapping[str, str],
        cookies: Mapping[str, str],
        is_websocket: bool,
    ) -> str:
        """Why a request is refused, "" for one that may pass. The reason names no secret."""
        if host_name(host) not in NAMES:
            return "The address in the request is not this machine's (127.0.0.1 or localhost)."
        # A browser names the origin of every websocket; what is no browser may leave it out elsewhere.
        if origin is None and is_websocket:
            return "A websocket from a page that does not say where it is from."
        if origin is not None and netloc(origin) != (host or "").lower():
            return "The request comes from a page of another address."
        given = (query.get("token"), cookies.get(self.cookie))
        if not any([self.is_token(each) for each in given]):  # noqa: C419 - both are compared, whichever is right
            return "The address lacks the token: open the whole address that `finetui serve` printed."
        return ""

    def is_token(self, given: str | None) -> bool:
        """Compared in a time that does not tell how much of it was right."""
        return hmac.compare_digest((given or "").encode(errors="replace"), self.token.encode())


def host_name(host: str | None) -> str:
    """The name in a Host header, without its port; "" for one that is not written as browsers write it."""
    match = HOST.fullmatch(host or "")
    return match[1].strip("[]").lower() if match else ""


def netloc(origin: str) -> str:
    """Host and port of an http origin, lower case; "" for anything else."""
    scheme, _, rest = origin.partition("://")
    return rest.lower() if scheme == "http" and HOST.fullmatch(rest) else ""
