"""Graphic renditions (SGR): what a cell looks like, and the fewest bytes from one look to another.

Cells, cursors and frames live in `cell_grid`.
"""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

# What turns an attribute off again. One that is not here goes off by a reset only.
_OFF = {
    "1": "22",
    "2": "22",
    "3": "23",
    "4": "24",
    "21": "24",
    "5": "25",
    "6": "25",
    "7": "27",
    "8": "28",
    "9": "29",
    "51": "54",
    "52": "54",
    "53": "55",
}
_COLOUR_PARAMETERS = {"5": 3, "2": 5}


class Look(NamedTuple):
    """Attributes, colours and hyperlink of a cell. A tuple, because millions of them are compared.

    `attributes` holds SGR codes in the order they were set, `foreground`, `background` and `underline` the SGR
    parameters of a colour ("" is the terminal's own), `link` the text of an OSC 8 after "8;" ("" is no link).
    """

    attributes: tuple[str, ...] = ()
    foreground: str = ""
    background: str = ""
    underline: str = ""
    link: str = ""


PLAIN = Look()


@lru_cache(maxsize=8192)
def after(look: Look, parameters: str) -> Look:
    """The look after the SGR sequence with these parameters ("1;38;5;9"; "" is a reset)."""
    attributes, foreground, background, underline = list(look.attributes), *look[1:4]
    codes = parameters.split(";")
    while codes:
        code = codes.pop(0) or "0"
        if code == "0":
            attributes, foreground, background, underline = [], "", "", ""
        elif code in ("38", "48", "58"):
            length = _COLOUR_PARAMETERS.get(codes[0], 1) if codes else 1
            colour = ";".join([code, *codes[: length - 1]])
            del codes[: length - 1]
            foreground, background, underline = _painted(colour, foreground, background, underline)
        elif _is_colour(code):
            foreground, background, underline = _painted(code, foreground, background, underline)
        elif code in _OFF.values():
            attributes = [name for name in attributes if _OFF.get(name.partition(":")[0]) != code]
        elif code not in attributes:
            attributes.append(code)
    return Look(tuple(attributes), foreground, background, underline, look.link)


def linked(look: Look, link: str) -> Look:
    """The same look with another hyperlink; `link` is the OSC 8 text after "8;", whose address may be empty."""
    return look._replace(link="" if link.endswith(";") else link)


@lru_cache(maxsize=8192)
def change(old: Look | None, new: Look) -> str:
    """The shortest sequence that turns `old` into `new`; None: not known, but no link is open."""
    if old == new:
        return ""
    if old is None:
        link = f"\x1b]8;{new.link}\x1b\\" if new.link else ""
        return f"\x1b[{_parameters(PLAIN, new, reset=True)}m{link}"
    link = "" if old.link == new.link else f"\x1b]8;{new.link or ';'}\x1b\\"
    if old[:4] == new[:4]:
        return link
    gone = [code for code in old.attributes if code not in new.attributes]
    whole = _parameters(PLAIN, new, reset=True)
    if all(code in _OFF for code in gone):
        part = _parameters(old, new, reset=False)
        if len(part) <= len(whole):
            whole = part
    return f"\x1b[{whole}m{link}"


def _parameters(old: Look, new: Look, *, reset: bool) -> str:
    """What to set in an SGR sequence, after a reset if `reset`. A lone reset is the empty sequence."""
    codes = [] if reset else list(dict.fromkeys(_OFF[code] for code in old.attributes if code not in new.attributes))
    # An "off" may take a wanted attribute with it (22 ends bold and dim), which is then set again.
    codes += [code for code in new.attributes if reset or code not in old.attributes or _OFF.get(code) in codes]
    for before, wanted, default in zip(old[1:4], new[1:4], ("39", "49", "59"), strict=True):
        if before != wanted:
            codes.append(wanted or default)
    if reset and codes:
        codes.insert(0, "0")
    return ";".join(codes)


def _is_colour(code: str) -> bool:
    base = code.partition(":")[0]
    if base in ("38", "48", "58"):
        return True
    return code in ("39", "49", "59") or (
        code.isdigit() and (30 <= int(code) <= 37 or 40 <= int(code) <= 47 or 90 <= int(code) <= 107)
    )


def _painted(code: str, foreground: str, background: str, underline: str) -> tuple[str, str, str]:
    """The three colours after one colour code, defaults as ""."""
    base = code.replace(":", ";").partition(";")[0]
    value = "" if code in ("39", "49", "59") else code
    if base in ("58", "59"):
        return foreground, background, value
    if base.startswith(("4", "10")):
        return foreground, value, underline
    return value, background, underline
