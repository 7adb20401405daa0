"""The two pictures of the README, drawn by the real screens: `python -m tests.readme_pictures` from the checkout.

`live` is the recorded run `laddered` as it stood at its 14th step; `wizard` the last step of the wizard for the 12B
preset on a 16 GB card that is emulated. Both are saved as SVG by Textual and drawn to PNG by Chromium (command
`chromium`), which sets braille characters as a terminal does; an SVG shown by a browser falls back to other fonts.
"""

from __future__ import annotations

import asyncio
import dataclasses
import functools
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from textual.app import App

from tui_app.screens.wizard import WizardScreen

TARGET = Path(__file__).parents[1] / "docs" / "pictures"
LAST_STEP = 14
CARD = "t4"
PRESET = "trinity-gemma3-12b-16gb"
LIVE_SIZE, WIZARD_SIZE = (140, 40), (110, 36)
SCALE = 0.8
"""Of the SVG's own size; sharp enough for a page that is a thousand pixels wide."""
PAGE = "<style>body {{ margin: 0; overflow: hidden; background: #121212; }} svg {{ width: {width}px; }}</style>{svg}"


def main() -> None:
    with tempfile.TemporaryDirectory(prefix="finetui-pictures-") as folder:
        os.environ.update(FINETUI_HOME=folder, FINETUI_CACHE=f"{folder}/cache", HF_HUB_OFFLINE="1")
        os.chdir(folder)
        TARGET.mkdir(parents=True, exist_ok=True)
        asyncio.run(draw_live(Path(folder)))
        asyncio.run(draw_wizard(Path(folder)))


async def draw_live(folder: Path) -> None:
    """A run that is going on: its events end at a step, as if that had been made just now."""
    from engine.event_log import read_events
    from engine.events import FINAL_EVENTS, StepLogged
    from engine.liveness import announce
    from tests.tui_app.live_runs import recorded_run, rewrite
    from tui_app.app import FinetuiApp
    from tui_app.screens.live import LiveScreen

    run = recorded_run("laddered", called="demo-cpu-1")
    every = read_events(run.events)
    end = next(n for n, each in enumerate(every) if isinstance(each.event, StepLogged) and each.event.step > LAST_STEP)
    kept = [each for each in every[:end] if not isinstance(each.event, FINAL_EVENTS)]
    shift = time.time() - kept[-1].time
    rewrite(run, [dataclasses.replace(each, time=each.time + shift) for each in kept])
    announce(run)
    app = FinetuiApp(lambda: LiveScreen(run))
    async with app.run_test(size=LIVE_SIZE) as pilot:
        await pilot.pause(1.0)
        await app.workers.wait_for_complete()
        await pilot.pause(1.5)
        save(app, "live", folder)


async def draw_wizard(folder: Path) -> None:
    """The review of a preset that just fits, on a card that is not here."""
    from engine.hardware import emulate
    from presets.matching import rank
    from tests.tui_app.on_screen import until
    from tests.tui_app.wizard_play import known
    from tui_app.app import FinetuiApp
    from tui_app.screens.wizard_desk import Seen
    from tui_app.steps.draft import Draft

    rows = [{"prompt": f"Link {n}: RSSI -61 dBm, SNR 24 dB?", "completion": "good"} for n in range(400)]
    (folder / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    wizard = WizardScreen(Draft(PRESET))
    app = FinetuiApp(lambda: wizard)
    async with app.run_test(size=WIZARD_SIZE) as pilot:
        await known(pilot, wizard)
        here = wizard.desk.surroundings
        assert here.hardware is not None
        hardware = emulate(here.hardware, CARD)
        wizard.desk.seen = Seen()
        wizard.desk.arrived(dataclasses.replace(here, hardware=hardware, matches=rank(hardware)))
        wizard.look_soon()
        for place in range(1, 5):
            await known(pilot, wizard)
            await pilot.press("enter")
            await until(pilot, functools.partial(is_at, wizard, place))
        await known(pilot, wizard)
        save(app, "wizard", folder)


def is_at(wizard: WizardScreen, place: int) -> bool:
    return wizard.place == place


def save(app: App[Any], name: str, folder: Path) -> None:
    """SVG, then PNG of exactly its size."""
    svg = app.export_screenshot(title="finetui")
    found = re.search(r'viewBox="0 0 ([\d.]+) ([\d.]+)"', svg)
    assert found is not None
    width, height = (round(float(each) * SCALE) for each in found.groups())
    page = folder / f"{name}.html"
    page.write_text(PAGE.format(svg=svg, width=width), encoding="utf-8")
    target = TARGET / f"{name}.png"
    command = ["chromium", "--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars"]
    command += [f"--screenshot={target}", f"--window-size={width},{height}", page.as_uri()]
    subprocess.run(command, check=True, capture_output=True)
    print(f"{target}: {target.stat().st_size / 1024:.0f} KiB, {width}x{height}", file=sys.stderr)


if __name__ == "__main__":
    main()
