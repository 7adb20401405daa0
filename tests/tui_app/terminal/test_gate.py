"""Which front end is chosen, and why."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tui_app.terminal.abilities import Terminal
from tui_app.terminal.gate import choose

GOOD = Terminal(
    columns=80,
    rows=24,
    not_terminals=(),
    term="xterm-256color",
    colours="256",
    unicode=True,
    dark=True,
    over_ssh=False,
    wants_accessible=False,
)
PIPED = replace(GOOD, not_terminals=("stdin", "stdout"))
DUMB = replace(GOOD, term="dumb")
ACCESSIBLE = replace(GOOD, wants_accessible=True)
SMALL = replace(GOOD, columns=59)


@pytest.mark.parametrize(
    ("terminal", "options", "front", "reason"),
    [
        (GOOD, (), "screens", "80x24"),
        (replace(GOOD, columns=60, rows=18), (), "screens", "60x18"),
        (SMALL, (), "line", "59x24 cells and the screens need 60x18"),
        (replace(GOOD, rows=17), (), "line", "80x17"),
        (GOOD, ("line",), "line", "--line"),
        (GOOD, ("plain",), "plain", "--plain"),
        (GOOD, ("line", "plain"), "plain", "--plain"),
        (ACCESSIBLE, (), "plain", "ACCESSIBLE"),
        (ACCESSIBLE, ("line",), "plain", "ACCESSIBLE"),
        (DUMB, (), "plain", "TERM is dumb"),
        (DUMB, ("line",), "plain", "TERM is dumb"),
        (replace(GOOD, term=""), (), "plain", "TERM is not set"),
        (replace(SMALL, term="dumb"), (), "plain", "TERM is dumb"),
        (PIPED, (), "none", "stdin and stdout are not a terminal"),
        (replace(GOOD, not_terminals=("stderr",)), ("plain",), "none", "stderr is not a terminal"),
        (GOOD, ("answers",), "none", "Every answer"),
        (DUMB, ("answers", "plain"), "none", "Every answer"),
        (PIPED, ("answers",), "none", "Every answer"),
    ],
)
def test_the_first_rule_that_holds_decides(
    terminal: Terminal, options: tuple[str, ...], front: str, reason: str
) -> None:
    choice = choose(terminal, line="line" in options, plain="plain" in options, answers_complete="answers" in options)
    assert choice.front == front
    assert reason in choice.reason
