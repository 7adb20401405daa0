"""A row as one line of strict JSON, whatever its values are: dates, decimals, numbers that JSON has no word for.

Not here: which file the line goes to (`writers/`).
"""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Callable, Mapping
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

from data.rows import Row, RowProblem

NOT_A_NUMBER = "{}: not a number, written as null"
AS_TEXT = "{}: a date, time or decimal, written as text"
_HALF_A_PAIR = "it holds half a surrogate pair, which is no valid Unicode text"


def json_preparer(changes: Counter[str]) -> Callable[[Row], bytes]:
    """A function from a row to one line of JSON in UTF-8; `changes` counts rows by what had to be written otherwise.

    The function raises RowProblem for a row with bytes or with broken text in it.
    """
    encode = json.JSONEncoder(ensure_ascii=False, allow_nan=False).encode

    def prepare(row: Row) -> bytes:
        try:
            return encode(row).encode()
        except UnicodeEncodeError:
            raise RowProblem(_HALF_A_PAIR) from None
        except (TypeError, ValueError):
            return encode(json_values(row, changes)).encode()
        except RecursionError:
            raise RowProblem("its values are nested beyond all measure") from None

    return prepare


def json_values(row: Row, changes: Counter[str]) -> dict[str, Any]:
    """The row with nothing in it but what JSON has words for. Raises RowProblem for bytes."""
    noted: set[str] = set()
    values = {name: _plain(value, f"'{name}'", noted) for name, value in row.items()}
    changes.update(noted)
    return values


def text_of_value(value: object, what: str, noted: set[str]) -> str:
    """Any value as the text of one cell: text as it stands, null as nothing, an object or a list as JSON."""
    if isinstance(value, str):
        return value
    if value is None:
        noted.add(f"{what}: null, written as an empty cell")
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, dict | list | tuple):
        noted.add(f"{what}: an object or a list, written as JSON text")
        return json.dumps(_plain(value, what, noted), ensure_ascii=False, allow_nan=False)
    plain = _plain(value, what, set())
    if plain is None:
        noted.add(f"{what}: not a number, written as an empty cell")
    return "" if plain is None else str(plain)


def _plain(value: Any, what: str, noted: set[str]) -> Any:
    if isinstance(value, float) and not math.isfinite(value):
        noted.add(NOT_A_NUMBER.format(what))
        return None
    if value is None or isinstance(value, str | int | float):
        return value
    if isinstance(value, Mapping):
        return {str(key): _plain(one, what, noted) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(one, what, noted) for one in value]
    if isinstance(value, date | datetime | time):
        noted.add(AS_TEXT.format(what))
        return value.isoformat()
    if isinstance(value, Decimal | UUID | timedelta):
        noted.add(AS_TEXT.format(what))
        return str(value)
    raise RowProblem(f"{what} is {type(value).__name__}, which JSON and CSV have no place for")
