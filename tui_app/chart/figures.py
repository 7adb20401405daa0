"""Numbers of a chart as short text: losses, axis labels, step counts. Never more than is read at a glance."""

from __future__ import annotations

import math

LABEL_WIDTH = 6
"""Cells of a y label."""
_MANY = 99_999.5


def scientific(value: float, decimals: int = 1) -> str:
    """ "1.4e-4", "2e30": without the signs and zeros that carry nothing."""
    mantissa, exponent = f"{value:.{decimals}e}".split("e")
    if "." in mantissa:
        mantissa = mantissa.rstrip("0").rstrip(".")
    return f"{mantissa}e{int(exponent)}"


def loss_text(value: float) -> str:
    """A loss in at most seven cells: "1.031", "0.00763", "12.34"; "nan" and "inf" as they are."""
    if not math.isfinite(value):
        return str(value)
    size = abs(value)
    if size >= _MANY or 0 < size < 1e-4:
        return scientific(value)
    if size >= 1000:
        return f"{value:.0f}"
    return f"{value:#.4g}" if size >= 0.1 else f"{value:.3g}"


def rate_text(value: float) -> str:
    """A learning rate: "1.4e-4", "2e-3", "0"."""
    if not math.isfinite(value):
        return str(value)
    return scientific(value) if value else "0"


def y_label(value: float, step: float | None) -> str:
    """A tick of the y axis in at most `LABEL_WIDTH` cells. `step`: from one to the next, None on a log axis."""
    value += 0.0  # no "-0"
    size = abs(value)
    if size >= _MANY or 0 < size < 1e-3:
        return _short_scientific(value)
    if step is None:
        text = f"{value:.3g}"
    else:
        decimals = next((d for d in range(5) if math.isclose(step * 10**d, round(step * 10**d), rel_tol=1e-6)), 5)
        text = f"{value:.{decimals}f}"
    if len(text) > LABEL_WIDTH:
        text = f"{value:.{LABEL_WIDTH - 2 - (value < 0)}g}"
    return text if len(text) <= LABEL_WIDTH else _short_scientific(value)


def _short_scientific(value: float) -> str:
    text = scientific(value)
    return text if len(text) <= LABEL_WIDTH else scientific(value, 0)


def count_text(count: float, largest: float = 0) -> str:
    """A step or token count in at most five cells: "857", "9999", "12.5k", "1.2M"; beside a larger one also "5k"."""
    for factor, unit in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(count) >= (10_000 if unit == "k" and largest < 10_000 else factor * 0.9995):
            text = f"{count / factor:.3g}"
            return f"{text}{unit}" if "e" not in text else scientific(count)
    return f"{count:.0f}"
