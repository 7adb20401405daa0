"""Speed: real tokens a second, seconds a step, waits for rows, and how busy the device and the machine are.

Tokens are those of the rows, padding left out. Not here: memory (`memory`).
"""

from __future__ import annotations

from typing import ClassVar

from tui_app.drawing import Line, Role, line
from tui_app.meters import clipped, labelled, short_bytes, short_seconds, sparkline
from tui_app.panels.header import eta_of
from tui_app.runs.phases import LATE_PHASES, doing, is_over, is_training
from tui_app.runs.view import RunView

NOTABLE_WAIT = 0.10
"""A tenth of the time spent waiting for rows is worth a word."""


def rates(view: RunView, num: int) -> list[float]:
    """Real tokens a second of the newest steps."""
    trace, found = view.trace, list[float]()
    for index in range(max(len(trace) - num, 0), len(trace)):
        seconds, waited = trace.step_seconds[index], trace.data_seconds[index]
        whole = seconds + (waited if waited == waited else 0.0)
        found.append(trace.num_tokens[index] / whole if whole > 0 else 0.0)
    return found


class Throughput:
    """One row, or as many as there are figures."""

    NAME: ClassVar[str] = "throughput"
    TITLE: ClassVar[str] = "Speed"

    def draw(self, view: RunView, width: int, height: int) -> list[Line]:
        speed = view.trace.tokens_per_second() if is_over(view) or is_training(view) else None
        machine = self._machine(view, is_strip=height == 1)
        if speed is None:
            waiting = doing(view) or ("no step was made" if is_over(view) else "no step yet")
            is_late = view.state.phase in LATE_PHASES or view.state.finished is not None
            if is_over(view):
                told = waiting
            elif is_late and len(view.trace):
                told = "no steps are made any more"
            else:
                told = f"no speed yet: {waiting}"
            rows = [line(" ", (told, "dim"))]
            return clipped([*rows, *self._indented(machine, width)], width, height, view.glyphs)
        head = line(" ", (f"{speed:,.0f} tok/s", "strong"), " ")
        if height == 1:
            curve = line((sparkline(rates(view, 12), 12, view.glyphs), "accent"), "   ")
            pairs = [*self._pace(view)[:2], *machine]
            rest = labelled(pairs, max(width - 30, 10))
            return clipped([(*head, *curve, *(rest[0] if rest else ()))], width, height, view.glyphs)
        room = max(min(width - len(f" {speed:,.0f} tok/s ") - 1, 60), 0)
        head = (*head, *line((sparkline(rates(view, room), room, view.glyphs), "accent")))
        pairs = [*self._pace(view), *machine]
        return clipped([head, *self._indented(pairs, width)], width, height, view.glyphs)

    def _indented(self, pairs: list[tuple[str, str, Role]], width: int) -> list[Line]:
        return [(*line(" "), *row) for row in labelled(pairs, width - 2)]

    def _pace(self, view: RunView) -> list[tuple[str, str, Role]]:
        pairs: list[tuple[str, str, Role]] = []
        if (pace := view.trace.step_seconds_mean()) is not None:
            pairs.append(("", f"{pace:.2f} s/step" if pace < 10 else f"{pace:.1f} s/step", ""))
        if (wait := view.trace.data_share()) is not None:
            pairs.append(("data wait", f"{wait:.0%}", "warn" if wait > NOTABLE_WAIT else ""))
        if (eta := eta_of(view)) is not None:
            pairs.append(("ETA", short_seconds(eta), "strong"))
        return pairs

    def _machine(self, view: RunView, *, is_strip: bool) -> list[tuple[str, str, Role]]:
        device, pairs = view.state.device, list[tuple[str, str, Role]]()
        if device is None:
            return pairs
        is_card = device.device != "cpu"
        if device.utilisation_percent is not None and not is_over(view):
            pairs.append(("GPU" if is_card else "CPU", f"{device.utilisation_percent:.0f}%", ""))
        if device.temperature_celsius is not None:
            degree = "°C" if view.glyphs.is_unicode else " C"
            pairs.append(("", f"{device.temperature_celsius}{degree}", ""))
        if device.power_watts is not None:
            pairs.append(("", f"{device.power_watts:.0f} W", ""))
        if is_strip and not is_card:
            return pairs  # the strip's row above tells of RAM
        ram = f"{short_bytes(device.ram_used_bytes, unit=False)}/{short_bytes(device.ram_total_bytes)}"
        pairs += [("RAM", ram, ""), ("disk free", short_bytes(device.disk_free_bytes), "")]
        return pairs


PANEL = Throughput
