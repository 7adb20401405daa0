"""What a field of an event may hold: the values of a line that was read, checked against the event's annotations.

An events file may have been cut, mended by hand or written by something else; what is folded and drawn afterwards
relies on the types that `events` promises. Not here: lines and files (`event_log`).
"""

from __future__ import annotations

import dataclasses
import math
import types
import typing
from collections.abc import Callable, Mapping
from typing import Any

from engine.events import Event

Check = Callable[[Any], Any]
"""Gives the value as the event holds it. Raises TypeError for one that the field cannot hold."""
_CHECKS: dict[type[Event], dict[str, Check]] = {}
"""Those of the events met so far: annotations take a while to read."""
LARGEST_WHOLE = 2**63 - 1
MAY_DIVERGE = frozenset(
    ("loss", "usual", "grad_norm", "learning_rate", "error", "rho", "eval_loss_before", "eval_loss_after")
)
"""Fields in which NaN and infinity say something: the training went wrong. Durations and shares are finite."""


def values_of(event_type: type[Event], raw: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of a line that the event knows, each as the event holds it. Raises TypeError for a wrong one."""
    checks = _CHECKS.get(event_type) or _CHECKS.setdefault(event_type, _checks_of(event_type))
    return {name: checks[name](value) for name, value in raw.items() if name in checks}


def _check_for(annotation: Any, *, may_diverge: bool = False) -> Check:
    origin, parts = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is tuple:
        return _tuple_check(parts)
    if origin is types.UnionType:
        [wanted] = [part for part in parts if part is not types.NoneType]
        check = _check_for(wanted, may_diverge=may_diverge)
        return lambda value: None if value is None else check(value)
    if annotation is float:
        return _number if may_diverge else _finite
    return {int: _whole, str: _text, bool: _truth}[annotation]


def _tuple_check(parts: tuple[Any, ...]) -> Check:
    if parts[-1] is Ellipsis:
        each = _check_for(parts[0])
        return lambda value: tuple(map(each, _list(value)))
    checks = [_check_for(part) for part in parts]

    def check(value: Any) -> tuple[Any, ...]:
        if len(_list(value)) != len(checks):
            raise TypeError(f"not {len(checks)} values: {value!r:.40}")
        return tuple(check(part) for check, part in zip(checks, value, strict=True))

    return check


def _list(value: Any) -> list[Any]:
    if type(value) is not list:
        raise TypeError(f"not a list: {value!r:.40}")
    return value


def _whole(value: Any) -> int:
    if type(value) is not int or not -LARGEST_WHOLE <= value <= LARGEST_WHOLE:
        raise TypeError(f"not a whole number of 64 bits: {value!r:.40}")
    return value


def _number(value: Any) -> float:
    if type(value) is dict and set(value) == {"nonfinite"}:
        value = {"nan": math.nan, "inf": math.inf, "-inf": -math.inf}.get(str(value["nonfinite"]))
    return float(value if isinstance(value, float) else _whole(value))


def _finite(value: Any) -> float:
    number = _number(value)
    if not math.isfinite(number):
        raise TypeError(f"not a finite number: {number}")
    return number


def _text(value: Any) -> str:
    if type(value) is not str:
        raise TypeError(f"not a text: {value!r:.40}")
    return value


def _truth(value: Any) -> bool:
    if type(value) is not bool:
        raise TypeError(f"neither true nor false: {value!r:.40}")
    return value


def _checks_of(event_type: type[Event]) -> dict[str, Check]:
    hints = typing.get_type_hints(event_type)
    names = [field.name for field in dataclasses.fields(event_type)]
    return {name: _check_for(hints[name], may_diverge=name in MAY_DIVERGE) for name in names}
