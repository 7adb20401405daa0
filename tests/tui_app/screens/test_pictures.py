"""What the screens look like, kept as pictures (`tests/pictures.py`): recorded runs, two sizes, every kind of terminal.

A change of a picture is no fault by itself; a change that nobody meant is.
"""

from __future__ import annotations

import asyncio
import dataclasses
import platform
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from textual.pilot import Pilot
from textual.screen import Screen

from engine.hardware import Hardware, emulate, read_hardware
from engine.run_dir import RunDir
from tests.pictures import assert_looks_as_kept
from tests.tui_app.live_runs import recorded_run
from tests.tui_app.on_screen import until
from tests.tui_app.screens.test_results import scored_run
from tests.tui_app.wizard_play import DEMO, known
from tui_app.app import FinetuiApp
from tui_app.glyphs import ASCII
from tui_app.looks import Looks
from tui_app.screens.compare import ComparePage
from tui_app.screens.live import LiveScreen
from tui_app.screens.wizard import WizardScreen
from tui_app.screens.wizard_desk import Seen

GIB = 1 << 30
SMALL, LARGE = (80, 24), (140, 40)
LOOKS = {
    "dark": Looks(),
    "light": Looks(is_light=True),
    "ascii": Looks(glyphs=ASCII),
    "colourless": Looks(is_colourless=True),
}


@pytest.fixture(autouse=True)
def one_time_zone(monkeypatch: pytest.MonkeyPatch, own_machine: Path) -> None:
    """Times of day are those of UTC, paths those below the present folder: the same on every machine."""
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    monkeypatch.chdir(own_machine)


def run_named(name: str) -> RunDir:
    recorded_run(name)
    return RunDir(Path("runs") / name)


def assert_drawn(first: Callable[[], Screen[Any]], size: tuple[int, int], look: str, keys: str, name: str) -> None:
    """Show a screen, press keys, compare it with the picture of that name."""
    app = FinetuiApp(first, LOOKS[look])

    async def main() -> None:
        async with app.run_test(size=size) as pilot:
            await settled(pilot)
            for key in keys:
                await pilot.press(key)
                await settled(pilot)
            assert_looks_as_kept(app, f"{name}-{size[0]}x{size[1]}-{look}")

    asyncio.run(main())


async def settled(pilot: Pilot[int]) -> None:
    """Wait until the history is read and the workers are done, and for what they made the screen do."""
    await pilot.pause()
    screen = pilot.app.screen
    if isinstance(screen, LiveScreen):
        await until(pilot, lambda: screen.viewer.loading is None)
    await pilot.app.workers.wait_for_complete()
    if isinstance(screen, LiveScreen):
        screen.paint()
    await pilot.pause()


LIVE = [
    ("finished", SMALL, "dark", ""),
    ("finished", LARGE, "dark", ""),
    ("finished", SMALL, "light", "8"),
    ("finished", SMALL, "ascii", ""),
    ("finished", SMALL, "colourless", "2"),
    ("laddered", SMALL, "dark", "4"),
    ("laddered", LARGE, "light", ""),
    ("laddered", LARGE, "ascii", ""),
    ("resumed", LARGE, "colourless", ""),
    ("failed", SMALL, "dark", ""),
    ("died", SMALL, "dark", ""),
    ("stopped", LARGE, "dark", "7"),
]


@pytest.mark.parametrize(("name", "size", "look", "keys"), LIVE)
def test_a_recorded_run_looks_as_it_did(name: str, size: tuple[int, int], look: str, keys: str) -> None:
    run = run_named(name)
    assert_drawn(lambda: LiveScreen(run), size, look, keys, f"live-{name}{keys and '-' + keys}")


RESULTS = [
    ("x", SMALL, "dark"),
    ("x", LARGE, "colourless"),
    ("8", LARGE, "dark"),
    ("8", SMALL, "ascii"),
]


@pytest.mark.parametrize(("keys", "size", "look"), RESULTS)
def test_a_scored_run_looks_as_it_did(keys: str, size: tuple[int, int], look: str) -> None:
    scored_run()
    assert_drawn(lambda: LiveScreen(RunDir(Path("runs") / "finished")), size, look, keys, f"scored-{keys}")


@pytest.mark.parametrize("size", [SMALL, LARGE])
def test_two_recorded_runs_look_as_they_did_side_by_side(size: tuple[int, int]) -> None:
    left, right = run_named("finished"), run_named("laddered")
    assert_drawn(lambda: ComparePage([left, right]), size, "dark", "", "compare")


def a_machine(card: str) -> Hardware:
    """The same machine everywhere: an old card, or none."""
    without_card = dataclasses.replace(
        read_hardware(),
        gpus=(),
        gpu_note="No NVIDIA card, and no driver library (libnvidia-ml.so.1): runs use the CPU.",
        cpu_name="AMD EPYC",
        num_cores=2,
        cpu_flags=("avx2",),
        ram_total_bytes=24 * GIB,
        ram_available_bytes=20 * GIB,
        ram_limit_note="",
        disk_path="/",
        disk_free_bytes=60 * GIB,
    )
    return emulate(without_card, card) if card else without_card


async def seen_on(pilot: Pilot[int], wizard: WizardScreen, hardware: Hardware) -> None:
    """Have the wizard look at another machine than the one it runs on."""
    from presets.matching import rank

    await known(pilot, wizard)
    here = wizard.desk.surroundings
    models = tuple(each for each in here.bundled_models if "smollm2" in each.value)
    wizard.desk.seen = Seen()
    wizard.desk.arrived(
        dataclasses.replace(here, hardware=hardware, matches=rank(hardware), bundled_models=models, cached_models=())
    )
    wizard.look_soon()
    await known(pilot, wizard)
    await pilot.app.workers.wait_for_complete()
    await pilot.pause()


WIZARD = [
    ("1", "", SMALL, "dark"),
    ("1", "t4", LARGE, "dark"),
    ("2", "", SMALL, "ascii"),
    ("2", "t4", LARGE, "dark"),
    ("4", "t4", SMALL, "dark"),
    ("4", "", SMALL, "colourless"),
    ("4", "t4", LARGE, "light"),
]


@pytest.mark.parametrize(("page", "card", "size", "look"), WIZARD)
def test_a_page_of_the_wizard_looks_as_it_did(
    page: str, card: str, size: tuple[int, int], look: str, monkeypatch: pytest.MonkeyPatch, own_machine: Path
) -> None:
    monkeypatch.setattr(platform, "node", lambda: "gpu-box")
    monkeypatch.setenv("FINETUI_CACHE", str(own_machine / "cache"))  # rows counted by another test would change it
    wizard = WizardScreen(DEMO)
    app = FinetuiApp(lambda: wizard, LOOKS[look])

    async def main() -> None:
        async with app.run_test(size=size) as pilot:
            await seen_on(pilot, wizard, a_machine(card))
            if page != "1":
                await pilot.press(page)
                await until(pilot, lambda: wizard.place == int(page) - 1)
                await known(pilot, wizard)
            await pilot.app.workers.wait_for_complete()
            await pilot.pause()
            assert_looks_as_kept(app, f"wizard-{page}-{card or 'cpu'}-{size[0]}x{size[1]}-{look}")

    asyncio.run(main())
