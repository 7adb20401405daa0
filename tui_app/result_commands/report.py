"""`finetui report`: a run on one page, with its curves. Also what the screens call to have one written."""

from __future__ import annotations

import argparse
import json
import subprocess
from pathlib import Path

from engine.environment import child_environment, worker_command
from engine.errors import DiedError, RunDirError
from engine.run_dir import RunDir
from tui_app.newer_runs import tell_of_newer

HELP = "a run on one page, with its curves (md, html)"
USAGE = "[OPTIONS] RUN"
NOTES = """\
Writes RUN/report/: report.md, report.html (one file, no network, no script)
and the curves as SVG and PNG. The run may still be training, have failed, or
never have been scored: the report says what is missing.
"""


def add(parser: argparse.ArgumentParser) -> None:
    parser.description = f"{HELP}\n\n{NOTES}"
    parser.add_argument("run", metavar="RUN", help="name or folder of a run")
    parser.add_argument("-o", "--output", metavar="FOLDER", type=Path, help="write there instead; new or empty")
    parser.add_argument("--open", action="store_true", help="show report.html in the web browser")
    parser.add_argument("--json", action="store_true", help="one JSON object: run, folder, files")


def run(options: argparse.Namespace) -> int:
    from tui_app.plain import printable

    found = RunDir.open(options.run)
    tell_of_newer(found)
    files = written(found, options.output)
    folder = files[0].parent
    if options.json:
        print(json.dumps({"run": found.reference, "folder": str(folder), "files": [str(path) for path in files]}))
    else:
        print("\n".join(printable(str(path)) for path in files))
    if options.open:
        show(folder / "report.html")
    return 0


def written(run: RunDir, output: Path | None = None) -> list[Path]:
    """Write a run's report, in a process of its own: curves need matplotlib. Its files, report.md first.

    Blocks for one to three seconds. Raises the FinetuiError that it could not be written for.
    """
    from engine.row_preview import error_of

    place = (output or run.report).absolute()
    command = worker_command("engine.report", str(run.path), str(place))
    done = subprocess.run(
        command, capture_output=True, text=True, encoding="utf-8", env=child_environment(offline=True), check=False
    )
    try:
        told = json.loads(done.stdout.splitlines()[-1])
    except (IndexError, ValueError):
        last = (done.stderr.strip().splitlines() or ["it said nothing"])[-1]
        raise DiedError(
            f"The process that writes the report ended with code {done.returncode}: {last}",
            means="No report was written; one that was there is as it was.",
            remedy="Try again; if it happens again, please report it.",
        ) from None
    if "error" in told:
        raise error_of(told["error"])
    return [Path(path) for path in told["files"]]


def show(page: Path) -> None:
    """Open a page in the web browser. Raises RunDirError where there is none."""
    import webbrowser

    if not webbrowser.open(page.as_uri()):
        raise RunDirError(
            "No web browser could be opened.",
            means=f"The report is written: {page}",
            remedy="Copy that file to a machine with a browser, or read report.md beside it.",
        )
