"""What holds for every page at once: commands that parse, links that lead somewhere, pages that are made, and no more.

Carrying the commands out is in test_readme.py (rows, no model) and tests/runs/test_documents.py (runs).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import glossary_page
from tests.documents import CHECKOUT, Told, blocks, documents, parse, told_commands

PAGES = documents()
TOLD = tuple(told for page in PAGES for told in told_commands(page))
NOT_RUN = {
    "docs/export-to-ollama.md: finetui export demo-cpu-1 --to gguf,ollama --quantization Q8_0",
    "docs/export-to-ollama.md: finetui export demo-cpu-1 --to gguf --quantization Q8_0,Q4_K_M --imatrix",
    "docs/export-to-ollama.md: finetui export demo-cpu-1 --to hub --repo me/venvy",
    "docs/first-run.md: finetui",
    "docs/first-run.md: finetui --line",
    "docs/first-run.md: finetui --plain",
    "docs/over-ssh.md: finetui serve",
    (
        "docs/two-gpus.md: finetui replay my.toml --set distributed.nnodes=2 "
        "--set distributed.rdzv_endpoint=10.0.0.1:29500"
    ),
    "docs/two-gpus.md: finetui join /shared/runs/my-1",
}
"""Commands that no test of documents carries out; the comment above each block says why. Tutorials list their own."""


def name_of(page: Path) -> str:
    return page.relative_to(CHECKOUT).as_posix()


@pytest.mark.parametrize("told", TOLD, ids=lambda told: f"{name_of(told.document)}:{' '.join(told.words)}"[:90])
def test_a_command_in_a_document_is_one_that_the_program_takes(told: Told) -> None:
    """Parsing a command that is wrong ends the program, which fails the test with the parser's own words."""
    parse(told.words)


def test_a_command_is_carried_out_or_stands_with_the_reason_why_not() -> None:
    """`not run` stands right above a block: a comment elsewhere would be overlooked, and its commands carried out."""
    comments = sum(len(re.findall(r"^<!-- (?:not run|exits|file):", page.read_text(), re.MULTILINE)) for page in PAGES)
    assert comments == sum(bool(block.said) for page in PAGES for block in blocks(page))
    not_run = [told for told in TOLD if told.not_run is not None]
    assert [told for told in not_run if len((told.not_run or "").split()) < 2] == []
    listed = {f"{name_of(told.document)}: finetui {' '.join(told.words)}".rstrip() for told in not_run}
    assert {line for line in listed if not line.startswith("docs/tutorials/")} == NOT_RUN


def test_every_page_with_commands_is_read_by_a_test() -> None:
    """Tutorials are read by a test that lists their folder."""
    from tests.contracts.test_readme import WITHOUT_A_RUN
    from tests.runs.test_documents import PAGES as ABOUT_RUNS

    read = [name_of(page) for page in ABOUT_RUNS] + [f"docs/{name}.md" for name in WITHOUT_A_RUN]
    told = {name_of(told.document) for told in TOLD if told.not_run is None}
    assert sorted(name for name in told if not name.startswith("docs/tutorials/")) == sorted(read)


def test_a_command_stands_in_a_block_that_is_carried_out() -> None:
    """One in a block of another language, or of none, would be read and never tried."""
    lost = [
        f"{name_of(page)}: {line}"
        for page in PAGES
        for block in blocks(page)
        if block.language != "sh" and block.said_of("file") is None
        for line in block.text.splitlines()
        if re.match(r"\s*\$?\s*finetui [a-z]", line)
    ]
    assert lost == []


def commands_in_text(page: Path) -> Iterator[list[str]]:
    """What stands in a sentence as `finetui …`, as words; capitals and dots stand for something of the reader's."""
    text = re.sub(r"^```.*?^```$", "", page.read_text(), flags=re.MULTILINE | re.DOTALL)
    for command in re.findall(r"`finetui ([^`]+)`", text):
        yield command.split()


def test_a_command_named_in_a_sentence_exists_with_its_options(capsys: pytest.CaptureFixture[str]) -> None:
    from tui_app.cli import main

    pages = dict[tuple[str, ...], str]()
    faults = []
    for page in PAGES:
        for words in commands_in_text(page):
            options = [word for word in words if word.startswith("--") and word != "--help"]
            key = tuple(words[:2] if words[0] == "data" else words[:1])
            key = (*key, "--to", words[words.index("--to") + 1]) if key == ("export",) and "--to" in words else key
            if key not in pages and key[0][0] != "-":
                job = key[-1] in ("slurm", "skypilot")
                with pytest.raises(SystemExit) as ended:
                    main([*(key if job or key[0] != "export" else key[:1]), "--help"])
                pages[key] = capsys.readouterr().out if ended.value.code == 0 else ""
            told = pages.get(key, "--line --plain --help --version --set")
            faults += [f"{name_of(page)}: {' '.join(words)}: {option}" for option in options if option not in told]
            faults += [] if told else [f"{name_of(page)}: {' '.join(words)}"]
    assert faults == []


def test_a_make_target_in_the_documents_exists() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (CHECKOUT / "Makefile").read_text(), re.MULTILINE))
    for page in PAGES:
        named = set(re.findall(r"(?:^|`|&& )make ([a-z-]+)", page.read_text(), re.MULTILINE))
        assert named <= targets, f"{name_of(page)} names make targets that do not exist"


def anchor(heading: str) -> str:
    """As GitHub makes it."""
    return re.sub(r"[^\w\- ]", "", heading.strip().lower()).replace(" ", "-")


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_a_link_leads_to_a_file_and_a_heading_that_are_there(page: Path) -> None:
    broken = []
    for target in re.findall(r"\]\(([^)\s]+)\)", page.read_text()):
        if "://" in target:
            continue
        name, _, heading = target.partition("#")
        file = page.parent / name if name else page
        headings = re.findall(r"^#+ (.+)$", file.read_text(), re.MULTILINE) if file.is_file() and heading else []
        if not file.exists() or (heading and heading not in map(anchor, headings)):
            broken.append(target)
    assert broken == []


def test_every_page_is_in_the_index_and_in_the_readme_or_one_click_from_it() -> None:
    index = (CHECKOUT / "docs" / "README.md").read_text()
    pages = {path.name for path in (CHECKOUT / "docs").glob("*.md")} - {"README.md"}
    assert {name for name in pages if f"({name})" not in index} == set()


def test_the_readme_can_be_read_in_one_go_and_names_every_command_preset_and_page() -> None:
    from presets.preset import all_presets
    from tui_app.cli import build_parser

    readme = (CHECKOUT / "README.md").read_text()
    assert len(readme.splitlines()) <= 180
    commands = next(action.choices for action in build_parser()._actions if action.dest == "command")
    assert commands is not None
    assert {name for name in commands if not re.search(rf"`{name}`", readme)} == set()
    assert {each.name for each in all_presets() if f"`{each.name}`" not in readme} == set()


def test_the_table_of_exit_codes_is_that_of_the_errors() -> None:
    from engine import errors

    page = (CHECKOUT / "docs" / "headless-and-ci.md").read_text()
    told = {int(code) for code in re.findall(r"^\| (\d+) \|", page, re.MULTILINE)}
    raised = {each.exit_code for each in vars(errors).values() if isinstance(each, type) and hasattr(each, "exit_code")}
    assert told == {0, 130, *raised} - {errors.FinetuiError.exit_code}


def test_the_glossary_and_the_recipe_page_are_what_explain_says() -> None:
    remedy = "run: python -m tests.glossary_page"
    assert glossary_page.GLOSSARY.read_text() == glossary_page.glossary_page(), remedy
    assert glossary_page.RECIPE.read_text() == glossary_page.recipe_page(), remedy
