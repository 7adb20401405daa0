"""What can be done with a finished run from its page, driven by keys over a recorded run with real answer files."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

from textual.pilot import Pilot

from engine import events as ev
from engine.event_log import read_events
from engine.run_dir import RunDir
from engine.run_state import fold_all
from tests.tui_app.live_driving import drive
from tests.tui_app.live_runs import append, recorded_run, running_run
from tests.tui_app.on_screen import sees, shown, until
from tui_app.runs.evaluate_offers import evaluate_asking, evaluate_offers
from tui_app.runs.export_offers import export_asking, export_offers
from tui_app.runs.offers import Offer, turned
from tui_app.screens.evaluate_page import EvaluatePage
from tui_app.screens.examples import ExamplesPage
from tui_app.screens.export_page import ExportPage
from tui_app.screens.live import LiveScreen


def scored_run() -> RunDir:
    """The recorded run that finished, with answers on disk: the tuned model is right on the even rows."""
    run = recorded_run("finished")
    for variant in ("base_zero_shot", "tuned"):
        answers(run.answers / f"{variant}.jsonl", is_tuned=variant == "tuned")
        append(run, scored(variant), writer="evaluate")
    return run


def answers(path: Path, *, is_tuned: bool, num_rows: int = 40) -> None:
    lines = []
    for row in range(num_rows):
        correct = is_tuned and row % 2 == 0
        lines.append({"row": row, "line": row, "request": f"please [do] number {row}", "expected": "venvy ls",
                      "answer": "venvy ls" if correct else "venvy who", "wanted": "venvy ls", "found": "venvy ls",
                      "correct": correct, "group": "ls", "unseen": False, "seconds": 0.1})  # fmt: skip
    path.write_text("".join(json.dumps(each) + "\n" for each in lines))


def scored(variant: str) -> ev.VariantScored:
    return ev.VariantScored(
        variant=variant, title=variant, metric="exact_match", num_rows=40, num_correct=20, low=0.3, high=0.7,
        seconds=1.0, answers_file=f"answers/{variant}.jsonl",
    )  # fmt: skip


def test_x_shows_the_rows_that_got_better_and_keys_go_through_kinds_and_words() -> None:
    async def test(pilot: Pilot[int], screen: LiveScreen) -> None:
        await pilot.press("x")
        page = pilot.app.screen
        assert isinstance(page, ExamplesPage)
        await until(pilot, lambda: "[better 20]" in shown(pilot.app))
        await sees(pilot, "please [do] number 0")
        await pilot.press("down")
        await sees(pilot, "row 2 of 20")
        await pilot.press("right", "right")
        await sees(pilot, "[wrong 20]")
        await pilot.press("slash", *"number 13", "enter")
        await until(pilot, lambda: "row 1 of 1" in shown(pilot.app))
        await sees(pilot, "please [do] number 13")
        await pilot.press("escape")
        await until(pilot, lambda: "of 20" in shown(pilot.app))
        await pilot.press("escape")
        assert pilot.app.screen is screen

    drive(scored_run(), test)


def test_d_goes_on_to_rows_of_another_set_and_back() -> None:
    run = scored_run()
    folder = run.evaluations / "mine" / "answers"
    folder.mkdir(parents=True)
    for variant in ("base_zero_shot", "tuned"):
        answers(folder / f"{variant}.jsonl", is_tuned=variant == "tuned", num_rows=6)
        place = f"evaluations/mine/answers/{variant}.jsonl"
        event = replace(scored(variant), dataset="mine", num_rows=6, num_correct=3, answers_file=place)
        append(run, event, writer="evaluate")

    async def test(pilot: Pilot[int], _screen: LiveScreen) -> None:
        await pilot.press("x")
        await until(pilot, lambda: "[better 20]" in shown(pilot.app))
        await pilot.press("d")
        await until(pilot, lambda: "[better 3]" in shown(pilot.app))
        await sees(pilot, "on mine")
        await pilot.press("d")
        await until(pilot, lambda: "[better 20]" in shown(pilot.app))

    drive(run, test)


def test_rows_are_shown_while_the_tuned_model_is_still_being_scored() -> None:
    run = running_run(until=lambda stamped: isinstance(stamped.event, ev.VariantScored))
    answers(run.answers / "base_zero_shot.jsonl", is_tuned=False)
    answers(run.answers / "tuned.jsonl", is_tuned=True, num_rows=10)
    append(run, scored("base_zero_shot"), ev.EvaluationProgressed(variant="tuned", num_done=10, num_rows=40))

    async def test(pilot: Pilot[int], _screen: LiveScreen) -> None:
        await pilot.press("x")
        await until(pilot, lambda: "all 10" in shown(pilot.app))
        await sees(pilot, "(being scored)")
        answers(run.answers / "tuned.jsonl", is_tuned=True, num_rows=14)
        await until(pilot, lambda: "all 14" in shown(pilot.app))

    drive(run, test)


def test_e_offers_what_can_be_made_with_the_command_that_does_the_same() -> None:
    run = scored_run()

    async def test(pilot: Pilot[int], screen: LiveScreen) -> None:
        await pilot.press("e")
        page = pilot.app.screen
        assert isinstance(page, ExportPage)
        await until(pilot, lambda: "merged model" in shown(pilot.app))
        asking = page.current()
        assert asking is not None
        assert asking.words[:3] == ("finetui", "export", run.reference)
        await sees(pilot, f"finetui export {run.reference} --to")
        page.listing.marked = set()
        page.show_all()
        await pilot.press("enter")
        assert pilot.app.screen is page, "nothing is marked, so nothing is started"
        await pilot.press("escape")
        assert pilot.app.screen is screen

    drive(run, test)


def test_v_offers_variants_rows_and_metrics() -> None:
    async def test(pilot: Pilot[int], _screen: LiveScreen) -> None:
        await pilot.press("v")
        page = pilot.app.screen
        assert isinstance(page, EvaluatePage)
        await until(pilot, lambda: "Who is asked" in shown(pilot.app))
        await sees(pilot, "finetui eval")
        await pilot.press("space")
        asking = page.current()
        assert asking is not None
        assert "base_zero_shot" not in asking.words

    drive(scored_run(), test)


def test_the_request_of_the_screen_is_the_one_of_the_command_line() -> None:
    run = scored_run()
    offers = export_offers(run, ev_state(run))
    settings = export_asking(run, offers, {"merged"}).settings()
    assert settings["to"] == ["merged"]
    assert export_asking(run, offers, set()).problem


def test_the_base_is_asked_again_with_as_many_examples_as_the_recipe_has() -> None:
    run = scored_run()
    run.dataset.mkdir(exist_ok=True)
    (run.dataset / "train.jsonl").touch()
    offers = evaluate_offers(run, ev_state(run))
    asking = evaluate_asking(run, offers, {"variant:base_examples", "metric:exact_match"})
    assert "base_examples" in asking.words
    assert "--examples" not in asking.words


def test_no_more_rows_are_offered_than_were_scored() -> None:
    run = scored_run()
    assert [each.name for each in evaluate_offers(run, ev_state(run)) if each.one_of == "rows"] == ["rows:"]


def ev_state(run: RunDir):  # type: ignore[no-untyped-def]
    return fold_all(read_events(run.events))


def test_of_a_group_one_is_marked_and_what_is_needed_is_marked_along() -> None:
    offers = [Offer("a", "a", one_of="g"), Offer("b", "b", one_of="g"), Offer("gguf:Q8_0", "Q8_0"),
              Offer("gguf:F16", "F16"), Offer("ollama", "ollama", needs="gguf:Q8_0")]  # fmt: skip
    assert turned(offers, {"a"}, "b") == {"b"}
    assert turned(offers, set(), "ollama") == {"ollama", "gguf:Q8_0"}
    assert turned(offers, {"gguf:F16"}, "ollama") == {"ollama", "gguf:F16"}
    assert turned(offers, {"ollama"}, "ollama") == set()


def test_keys_that_make_something_are_refused_with_the_reason_while_a_run_is_trained_or_only_looked_at() -> None:
    async def trained(_pilot: Pilot[int], screen: LiveScreen) -> None:
        assert screen.refused()["export"] == "there is no trained result yet"
        assert screen.refused()["examples"] == "no row was scored yet"

    async def looked_at(_pilot: Pilot[int], screen: LiveScreen) -> None:
        assert screen.refused()["evaluate"] == screen.refused()["report"] == "this view is read-only"
        assert "examples" not in screen.refused()

    drive(running_run(), trained)
    drive(scored_run(), looked_at, is_readonly=True)
