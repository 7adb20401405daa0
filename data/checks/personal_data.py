"""E-mail addresses, phone numbers, credit-card numbers and public IPv4 addresses, counted by kind and never shown.

Addresses set aside for examples (example.com, 192.0.2.0/24) and those of private networks are no one's. Nothing is
masked here: what stands for a number or a name in a text cannot be told from the text.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from data.findings import Level
from data.looking import Setup, Text, TextLooking

TITLE = "Personal data"
LEVEL: Level = "warning"
MEANS = (
    "A model can repeat it, and the law may ask you for a reason to keep it. Looked for: e-mail addresses; phone "
    "numbers written like +49 171 2345689, 0049 171 2345689, 0171 2345689 or (212) 555-0123; credit-card numbers; "
    "public IPv4 addresses. Names and street addresses are not. Such rows can be left out, not mended."
)
IS_DROPPABLE = True
EXAMPLE = (
    {"prompt": "How do I reach her?", "completion": "Write to ada.lovelace@gmail.com or ring +44 20 7123 4567."},
)

# Where a pattern begins with one character, the search for it is fast; what may not stand before it comes second.
_EMAIL = re.compile(r"@(?!example\.|test\.|localhost)(?:[A-Za-z0-9-]{1,63}\.)+[A-Za-z]{2,24}\b", re.ASCII)
_EMAIL_NAME = re.compile(r"[\w.+-]*\w\Z", re.ASCII)
_PHONE_ABROAD = re.compile(
    r"\+(?<![\w.+-]\+)[1-9]\d{0,2}[ .-]?(?:\(0?\d{1,4}\)[ .-]?)?\d{2,4}(?:[ .-]?\d{2,4}){1,3}(?![\w-])", re.ASCII
)
_PHONE_AT_HOME = re.compile(r"(?<![\w.+-])(?:\(\d{3}\) ?|\d{3}[.-])\d{3}[.-]\d{4}(?![\w-])", re.ASCII)
# With a 0 for the country's trunk: area and number apart ("(030) 90182013", "0171/2345689"), French pairs, or 11 digits
# in one; with 00 before the country's number. Numbers that are filled up with zeros have one where a number has none.
_AREA = r"[1-9]\d{1,3}"
_PHONE_TRUNK = re.compile(
    r"0(?<![\w+/-]0)(?<!\d[.,]0)(?:"
    rf"{_AREA}(?:\) ?| ?/ ?| )[1-9]\d{{1,8}}(?:[ -]\d{{2,5}}){{0,3}}|{_AREA}-[1-9]\d{{5,8}}|"
    r"(?!1.02.)[1-9]([ .])\d{2}(?:\1\d{2}){3}|(?!123456)[1-9]\d{9}|"
    r"0[1-9]\d{0,2}[ /-](?:\(0\) ?)?[1-9]\d{1,4}[ /-]?\d{3,9}(?:[ -]\d{2,5}){0,2}|0[2-9]\d{10,12}"
    r")(?![\w-]|[ .,/]?\d)",
    re.ASCII,
)
_CARD = re.compile(
    r"(?<![\w.-])(?:[3-6]\d{3}[ -]?\d{4}[ -]?\d{4}[ -]?\d{4}|3[47]\d{2}[ -]?\d{6}[ -]?\d{5})(?![\w-])", re.ASCII
)
_OCTET = r"(?:25[0-5]|2[0-4]\d|1\d\d|[1-9]?\d)"
_IPV4 = re.compile(rf"(?<![\w.-]){_OCTET}(?:\.{_OCTET}){{3}}(?![\w-]|\.\d)", re.ASCII)
# The same in `Text.shape`.
_HOME_SHAPES = (b"000-0000", b"000.0000")
_CARD_SHAPES = (b"0000000000000", b"0000-0000-0000", b"0000-000000-00000")
_IP_SHAPE = re.compile(rb"0\.0{1,3}\.0{1,3}\.0")
_ABROAD_SHAPE = re.compile(rb"\+0[-.0]{6}")


def start(_: Setup) -> TextLooking:
    """The check, ready for the first rows."""
    return TextLooking(_is_suspect, personal_kinds)


def personal_kinds(text: str) -> Iterator[str]:
    """The kinds of personal data that a text holds."""
    shape = Text(text).shape
    if any(_EMAIL_NAME.search(text[max(0, at.start() - 64) : at.start()]) for at in _EMAIL.finditer(text)):
        yield "e-mail address"
    if _has(shape, _CARD_SHAPES) and any(passes_luhn(match[0]) for match in _CARD.finditer(text)):
        yield "credit-card number"
    if any(8 <= sum(map(str.isdigit, match[0])) <= 15 for match in _PHONE_ABROAD.finditer(text)) or (
        (_has(shape, _HOME_SHAPES) and _PHONE_AT_HOME.search(text)) or _has_trunk_phone(text)
    ):
        yield "phone number"
    if _IP_SHAPE.search(shape) and any(is_public(match[0]) for match in _IPV4.finditer(text)):
        yield "IP address"


def passes_luhn(number: str) -> bool:
    """Whether the digits have the check digit of a card, and are not all one digit."""
    digits = [int(character) for character in reversed(number) if character.isdigit()]
    doubled = sum(digits[0::2]) + sum(sum(divmod(2 * digit, 10)) for digit in digits[1::2])
    return doubled % 10 == 0 and len(set(digits)) > 1


def is_public(address: str) -> bool:
    """Whether an IPv4 address can be somebody's: not private, reserved, for examples, or more likely a version."""
    from ipaddress import IPv4Address

    return IPv4Address(address).is_global and address not in ("8.8.8.8", "8.8.4.4", "1.1.1.1", "1.2.3.4")


def _is_suspect(text: Text) -> bool:
    shape = text.shape
    return (
        # A search for one byte is ten times as fast as one for two.
        (b"@" in shape and b"@x" in shape)
        or _has(shape, _CARD_SHAPES)
        or _has(shape, _HOME_SHAPES)
        or (b"+" in shape and b"+0" in shape and _ABROAD_SHAPE.search(shape) is not None)
        or _IP_SHAPE.search(shape) is not None
        or _has_trunk_phone(text.text)
    )


def _has_trunk_phone(text: str) -> bool:
    return any(9 <= sum(map(str.isdigit, match[0])) <= 15 for match in _PHONE_TRUNK.finditer(text))


def _has(shape: bytes, parts: tuple[bytes, ...]) -> bool:
    return any(part in shape for part in parts)
