"""The report of a run: report.md, report.html, and its curves as SVG and PNG, put in place together.

The same record gives the same bytes. Run as `python -P -m engine.report RUN_DIR FOLDER`, because the curves need
matplotlib, which no screen loads; the answer is one JSON line. Not here: what it says (`sections`).
"""

from __future__ import annotations

import contextlib
import shutil
import tempfile
from pathlib import Path

from data.file_modes import released, users_umask
from engine.errors import RunDirError
from engine.flushing import fsync_tree
from engine.run_dir import RunDir

STEMS = ("loss", "memory", "device", "throughput")
FILES = ("report.md", "report.html", *(f"{stem}.{kind}" for stem in STEMS for kind in ("svg", "png")))
"""All that a report may hold: a folder with anything else in it is somebody's own."""


def write_report(run: RunDir, folder: Path | None = None) -> list[Path]:
    """Write the report into `folder`, by default the run's own; the files, report.md and report.html first.

    What lay there before is replaced whole, or stays. Raises RunDirError where the disk refuses it, or where the folder
    holds what no report wrote.
    """
    from engine.report.curves import curves
    from engine.report.facts import read_facts
    from engine.report.html import html
    from engine.report.markdown import markdown
    from engine.report.sections import document

    place = (folder or run.report).absolute()
    _refuse_foreign(place)
    facts = read_facts(run)
    drawn = curves(facts)
    told = document(facts, [curve.name for curve in drawn])
    svgs = {curve.name: curve.svg for curve in drawn}
    files = {"report.md": markdown(told).encode(), "report.html": html(told, svgs).encode()}
    for curve in drawn:
        files |= {f"{curve.name}.svg": _on_white(curve.svg).encode(), f"{curve.name}.png": curve.png}
    _put(place, files, run.report.absolute())
    return [place / name for name in files]


def _on_white(svg: str) -> str:
    """An SVG to be seen alone: its words are dark, whatever lies behind it."""
    at = svg.index(">", svg.index("<svg")) + 1
    return f'{svg[:at]}\n <rect width="100%" height="100%" fill="#ffffff"/>{svg[at:]}'


def _refuse_foreign(place: Path) -> None:
    if not place.exists():
        return
    foreign = sorted({path.name for path in place.iterdir()} - set(FILES)) if place.is_dir() else [place.name]
    if foreign:
        raise RunDirError(
            f"{place} holds what no report wrote: {', '.join(foreign[:3])}.",
            means="A report replaces its folder as a whole, so nothing was written.",
            remedy="Name a new or empty folder with -o.",
        )


def _put(place: Path, files: dict[str, bytes], own: Path) -> None:
    """Write beside the place, then rename: readers see the old report or the new one."""
    staged: Path | None = None
    try:
        is_own = place == own
        with contextlib.nullcontext() if is_own else users_umask():
            place.parent.mkdir(parents=True, exist_ok=True)
        staged = Path(tempfile.mkdtemp(prefix=f".{place.name}.", dir=place.parent))
        fresh, previous = staged / "new", staged / "old"
        fresh.mkdir(mode=0o700)
        for name, content in files.items():
            (fresh / name).write_bytes(content)
        if not is_own:
            released(fresh)
        fsync_tree(fresh)
        if place.exists():
            place.rename(previous)
        try:
            fresh.rename(place)
        except OSError:
            if previous.exists():
                previous.rename(place)
            raise
    except OSError as fault:
        raise RunDirError(
            f"{place} cannot be written: {fault.strerror}.",
            means="The run itself is untouched, and so is a report that was there.",
            remedy="Free space on that disk, or name another folder with -o.",
        ) from fault
    finally:
        if staged is not None:
            shutil.rmtree(staged, ignore_errors=True)
