"""Reports of recorded runs: what they say, that nothing in them is obeyed, and that they are put in place whole."""

from __future__ import annotations

import dataclasses
import json
import re
import shutil
import xml.etree.ElementTree as ET
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from engine.errors import RunDirError
from engine.evaluation.answers_file import Answer, encoded
from engine.event_log import EventWriter
from engine.events import ArtifactExported, LossSpiked, VariantsCompared, VariantScored
from engine.report import FILES, write_report
from engine.report.curves import ema
from engine.report.markdown import escaped
from engine.run_dir import RunDir

RUNS = Path(__file__).parents[2] / "recorded" / "runs"
HOSTILE = (
    "</pre><script>alert(1)</script> \x1b[31m[bold] ```\n| `x` | ![a](http://evil.example/x.png) <img src=x> &amp; $E$"
)


@pytest.fixture
def recorded(tmp_path: Path) -> Callable[[str], RunDir]:
    """A copy of a recorded run."""

    def copy(name: str) -> RunDir:
        return RunDir(Path(shutil.copytree(RUNS / name, tmp_path / "runs" / name)).resolve())

    return copy


class Page(HTMLParser):
    """What a browser would see: tags with their attributes, and whether they are closed in order."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in ("meta", "br", "hr"):
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: Any) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def texts(run: RunDir) -> tuple[str, str]:
    write_report(run)
    return (run.report / "report.md").read_text(), (run.report / "report.html").read_text()


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("finished", "No difference to base, zero-shot is shown"),
        ("failed", "The run failed at"),
        ("stopped", "The run was stopped at step"),
        ("died", "The run died at step"),
    ],
)
def test_every_kind_of_run_has_a_report_that_says_first_how_it_ended(
    recorded: Callable[[str], RunDir], name: str, said: str
) -> None:
    markdown, html = texts(recorded(name))
    verdict = markdown.split("## Verdict")[1].split("\n## ")[0]
    assert said.replace("-", "\\-") in verdict or said in verdict
    assert said in html
    page = Page(html)
    assert page.open == []
    assert {"script", "link", "iframe", "img", "object", "form"} & {tag for tag, _ in page.tags} == set()
    assert not re.search(r"(?:src|href)=\"(?!#)|url\((?!#)|@import|https?://", html)


def test_a_run_that_only_began_has_one_too(tmp_path: Path) -> None:
    run = RunDir.create(tmp_path / "runs", "bare")
    markdown, _ = texts(run)
    assert "never started" in markdown
    assert "No step was trained yet" in markdown
    assert sorted(path.name for path in run.report.iterdir()) == ["report.html", "report.md"]


def test_the_same_run_gives_the_same_bytes(recorded: Callable[[str], RunDir], tmp_path: Path) -> None:
    run = recorded("died")
    first, second = write_report(run), write_report(run, tmp_path / "again")
    assert [path.name for path in first] == [path.name for path in second]
    assert [path.read_bytes() for path in first] == [path.read_bytes() for path in second]
    assert {path.name for path in first} <= set(FILES)


def test_the_curves_are_pictures_and_the_ladder_and_memory_are_told(recorded: Callable[[str], RunDir]) -> None:
    run = recorded("laddered")
    markdown, html = texts(run)
    assert "Nobody knows whether it got better" in markdown.split("## Result")[0]
    for stem in ("loss", "memory", "device", "throughput"):
        assert ET.parse(run.report / f"{stem}.svg").getroot().tag.endswith("svg")
        assert (run.report / f"{stem}.png").read_bytes().startswith(b"\x89PNG")
        assert f"]({stem}.svg)" in markdown
    assert html.count("<svg") == 4
    ids = re.findall(r' id="([^"]+)"', html)
    assert len(ids) == len(set(ids))
    assert "## Ladder" in markdown
    assert "| plan 4 |" in markdown
    for tag, attributes in Page(html).tags:
        assert tag != "figure" or attributes["aria-label"]
        assert tag != "th" or attributes["scope"] in ("col", "row")
        assert tag != "svg" or attributes["aria-hidden"] == "true"


def scored(variant: str, right: int, **more: Any) -> VariantScored:
    return VariantScored(
        variant=variant,
        title=f"{variant} <b>|",
        metric="exact_match",
        num_rows=2,
        num_correct=right,
        low=0.1,
        high=0.9,
        seconds=1.0,
        answers_file=f"answers/{variant}.jsonl",
        **more,
    )


def test_hostile_rows_and_titles_are_shown_as_they_stand(recorded: Callable[[str], RunDir]) -> None:
    run = recorded("finished")
    shutil.rmtree(run.answers, ignore_errors=True)
    run.answers.mkdir()
    answer = Answer(0, 7, HOSTILE, HOSTILE, HOSTILE, "x", "y", False, "", False, 1.0)
    (run.answers / "base_evil.jsonl").write_bytes(encoded(answer))
    (run.answers / "tuned.jsonl").write_bytes(encoded(dataclasses.replace(answer, correct=True)))
    recipe = run.recipe.read_text()
    run.recipe.write_text(re.sub(r"(?m)^title = .*$", lambda _: f"title = {json.dumps(HOSTILE[:60])}", recipe))
    writer = EventWriter(run.event_file("evaluate"))
    for event in (scored("base_evil", 1), scored("tuned", 2, scores=(("rougeL", 0.5),))):
        writer.write(event)
    writer.close()
    markdown, html = texts(run)
    assert "script" not in {tag for tag, _ in Page(html).tags}
    assert "\x1b" not in html + markdown
    assert "&lt;script&gt;alert(1)&lt;/script&gt; \\x1b[31m[bold] ```" in html
    assert "````text\n" in markdown, "a fence longer than the row's own"
    fences = re.sub(r"(?ms)^(`{3,})text\n.*?^\1$", "", markdown)
    assert "<script>" not in fences
    assert re.search(r"(?<!\\)!\[a", fences) is None
    assert "1 row got better." in markdown
    assert "| 50.0 % |" in markdown


def test_what_was_compared_exported_and_stood_out_is_in_it(recorded: Callable[[str], RunDir]) -> None:
    run = recorded("finished")
    row = {"row": 0, "line": 9, "request": "ask", "expected": "e", "base_answer": "old words", "other_answer": "new"}
    (run.answers).mkdir(exist_ok=True)
    (run.answers / "c.json").write_text(json.dumps({"better": [row], "worse": []}))
    pair: dict[str, Any] = {"dataset": "test", "metric": "exact_match", "base": "base_zero_shot", "other": "tuned"}
    numbers: dict[str, Any] = {"num_rows": 12, "num_better": 11, "num_worse": 0, "p_value": 0.0009}
    shift: dict[str, Any] = {"difference": 0.9, "low": 0.7, "high": 1.0, "rows_file": "answers/c.json"}
    writer = EventWriter(run.event_file("more"))
    writer.write(VariantsCompared(**pair, **numbers, **shift))
    writer.write(LossSpiked(step=30, loss=5.0, usual=0.3, rows=(12, 99)))
    artifact = ArtifactExported(artifact="gguf-Q8_0", kind="gguf", path="exports/x.gguf", num_bytes=2**20, seconds=1.0)
    writer.write(dataclasses.replace(artifact, num_rows=32, agreement=1.0, file_type="Q8_0", notes=("a note",)))
    writer.close()
    markdown, html = texts(run)
    assert "11 rows got better, 0 got worse, of 12" in html
    assert "old words" in html
    assert "lines 12, 99 of the training data" in html
    assert "100.0 % of 32 rows" in html
    assert "< 0.001" not in html
    assert "+0.900 (+0.700 to +1.000)" in html
    assert "## Artifacts" in markdown


def test_a_folder_with_something_of_the_users_is_left_alone(recorded: Callable[[str], RunDir], tmp_path: Path) -> None:
    mine = tmp_path / "mine"
    mine.mkdir()
    (mine / "thesis.tex").write_text("years of work")
    with pytest.raises(RunDirError, match=r"thesis\.tex"):
        write_report(recorded("died"), mine)
    assert [path.name for path in mine.iterdir()] == ["thesis.tex"]


def test_a_report_that_cannot_be_put_there_leaves_the_old_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = RunDir.create(tmp_path / "runs", "bare")
    write_report(run)
    before = {path.name: path.read_bytes() for path in run.report.iterdir()}

    def full(_path: Path, _content: bytes) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(RunDirError, match="No space left"):
        write_report(run)
    assert {path.name: path.read_bytes() for path in run.report.iterdir()} == before
    assert not list(run.path.glob(".report.*"))


@pytest.mark.parametrize(
    ("text", "written"),
    [
        ("12. item", "12\\. item"),
        ("- item", "\\- item"),
        ("---", "\\---"),
        ("5.3 % of 150", "5.3 % of 150"),
        ("+0.9", "+0.9"),
        ("see https://evil.example", "see https:/&#8203;/evil.example"),
        ("a|b\nc", "a\\|b\\\\nc"),
    ],
)
def test_words_never_mean_anything_to_markdown(text: str, written: str) -> None:
    assert escaped(text) == written


def test_the_moving_average_overlooks_what_is_no_number() -> None:
    assert ema([2.0, float("nan"), 2.0]) == pytest.approx([2.0, 2.0, 2.0])
