"""The wizard's third page: which rows, how they are understood, and exactly which of their tokens will be trained.

A worker process reads and renders them; the page shows what it tells as it comes and ends it when it is left.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from textual import work
from textual.app import ComposeResult
from textual.worker import get_current_worker

from engine.errors import FinetuiError
from tui_app.data_text.histogram import histogram_lines
from tui_app.drawing import Line, fit_line, line, literal, wrap
from tui_app.keys import Key, bindings
from tui_app.screens.wizard_desk import Desk
from tui_app.screens.wizard_dialogs import TextPage
from tui_app.screens.wizard_findings import MOST_LINES, findings_lines, findings_text
from tui_app.screens.wizard_model import fault_told, missing_told
from tui_app.screens.wizard_page import HIGH, StepPage
from tui_app.steps.draft import USE_CASE
from tui_app.steps.paths import Wanted
from tui_app.steps.rows import fetching, is_to_be_fetched
from tui_app.steps.schema import Choice, Question, Step
from tui_app.widgets.choice_list import ChoiceList
from tui_app.widgets.column_mapping import ColumnMapping
from tui_app.widgets.drawn_view import DrawnView
from tui_app.widgets.token_lines import token_legend, token_lines

if TYPE_CHECKING:
    from data.raw_rows import RawRows
    from data.understanding.detection import Proposal
    from engine.row_findings import RowChecking, RowFindings
    from engine.row_preview import PreviewedRow, RowPreview, RowPreviewing
    from engine.starting import Prospect

KEYS = (
    Key("n", "show_row(1)", "next row", "Show the next of the rows.", footer=True),
    Key("p", "show_row(-1)", "row before", "Show the row before."),
    Key("f", "format", "format", "To the field that says how rows are read."),
    Key("y", "take", "take it", "Read the rows as is proposed, where nobody can tell for sure."),
    Key("d", "findings", "checks", "All that the checks found in the rows, and the commands that mend it."),
)

NOT_HERE = "These rows are not on this machine yet: a run downloads them, a preview asks no network."
MOST_PROPOSALS, MOST_NOTES = 2, 2
HISTOGRAM_HEIGHT, LEAST_COUNTED = 4, 20
"""Lines of the picture of lengths, and rows below which it says nothing."""
WHAT_THEN = "Say below which column is which, or name the format{key}, or put the columns into words with a template."


def raw_of(found: Prospect) -> RawRows | None:
    """The first rows as they stand in a file here; None where they would be downloaded, made or cannot be read."""
    from data.raw_rows import raw_rows
    from engine.data_request import data_request

    if not found.recipe.data.dataset.startswith("/"):
        return None
    try:
        return raw_rows(data_request(found.recipe))
    except FinetuiError:
        return None


class DataPage(StepPage):
    """Rows to choose, the receipt, and one row at a time as the model reads it."""

    KEYS: ClassVar = KEYS
    BINDINGS: ClassVar = bindings(KEYS)
    MOST_CHOICES: ClassVar = 5
    COMPLETES: ClassVar[Wanted] = "rows"
    ALWAYS: ClassVar = (USE_CASE,)

    def __init__(self, desk: Desk, step: Step) -> None:
        super().__init__(desk, step)
        self.preview: RowPreview | None = None
        self.fault: FinetuiError | None = None
        self.row = 0
        self.is_reading = False
        self._proposals: tuple[Proposal, ...] = ()
        """What rows may mean that nobody can tell for sure, the likeliest first."""
        self._is_remapped = False
        """Whether columns were given other parts since the rows were last understood or refused."""
        self.findings: RowFindings | None = None
        self._checker: RowChecking | None = None
        self._reader: RowPreviewing | None = None
        self._read_for: Any = None

    def compose(self) -> ComposeResult:
        yield self.above_view
        use_case, dataset, *others = self.questions(is_advanced=False)
        yield from self.field_of(use_case)
        yield from self.field_of(dataset)
        yield DrawnView(self._receipt, id="receipt")
        yield ColumnMapping()
        for question in others:
            yield from self.field_of(question)
        yield self.below_view
        yield from self.advanced_part()

    def _choices(self, question: Question) -> Sequence[Choice]:
        """Columns are typed or chosen in their own table here, not turned through."""
        return () if question.name == "data.columns" else super()._choices(question)

    # --- reading ----------------------------------------------------------------------------------------------

    def sync(self) -> None:
        super().sync()
        found = self.desk.review.found if self.desk.review and self.desk.is_current else None
        wanted = (found.recipe.data, found.recipe.model, found.recipe.training.max_length) if found else None
        if found is not None and wanted != self._read_for:
            self._read_for = wanted
            self._stop()
            self.preview, self.fault, self.row, self.is_reading = None, None, 0, True
            self.findings = None
            self._read(found)
            self._check(found)

    @work(thread=True, exclusive=True, group="rows", exit_on_error=False)
    def _read(self, found: Prospect) -> None:
        from pathlib import Path

        from engine.row_preview import RowPreviewing

        worker = get_current_worker()
        if raw := raw_of(found):
            self.app.call_from_thread(self.call_later, self._raw_seen, raw)
        self._reader = reader = RowPreviewing(found.recipe, Path.cwd())
        try:
            for preview in reader.previews():
                if not worker.is_cancelled:
                    self.app.call_from_thread(self._told, preview, None, True)
        except FinetuiError as fault:
            if not worker.is_cancelled:
                self.app.call_from_thread(self._told, None, fault, False)
            return
        if not worker.is_cancelled and not reader.is_cancelled:
            self.app.call_from_thread(self._told, None, None, False)

    @work(thread=True, exclusive=True, group="checks", exit_on_error=False)
    def _check(self, found: Prospect) -> None:
        """What the checks find, told once it is there."""
        from engine.row_findings import RowChecking

        worker = get_current_worker()
        self._checker = checker = RowChecking(found.recipe)
        try:
            findings = checker.run()
        except FinetuiError:
            return  # what cannot be read was told when it was; checks only add to that
        if findings is not None and not worker.is_cancelled:
            self.app.call_from_thread(self._checked, findings)

    def _checked(self, findings: RowFindings) -> None:
        self.findings = findings
        if self.is_mounted:
            self.sync()

    async def _raw_seen(self, raw: RawRows) -> None:
        if not self.is_mounted:
            return
        self._proposals = getattr(raw.fault, "proposals", ())
        if raw.fault is not None and self.preview is None:
            self.fault = raw.fault  # told at once: the worker finds the same, seconds later
        mapping = self.query_one(ColumnMapping)
        review = self.desk.review
        data = review.found.recipe.data if review and review.found else None
        mapping.display = self.desk.shows_advanced or raw.fault is not None or bool(data and data.columns)
        if data is not None and mapping.display:
            detected = raw.detection.format if raw.detection else ""
            await mapping.offer(raw, data.format if data.format != "auto" else detected, data.columns)
        if raw.fault is not None:
            self.sync()

    def on_column_mapping_mapped(self, event: ColumnMapping.Mapped) -> None:
        from tui_app.recipe_values import as_text

        event.stop()
        before = self.desk.draft
        self.wizard.give("data.columns", as_text(event.columns) if event.columns else "")
        self._is_remapped = self.desk.draft != before
        self.sync()

    def _told(self, preview: RowPreview | None, fault: FinetuiError | None, is_reading: bool) -> None:
        self.preview, self.fault, self.is_reading = preview or self.preview, fault, is_reading
        self._is_remapped = self._is_remapped and not self.desk.is_current
        if self.is_mounted:
            self.sync()

    def _stop(self) -> None:
        for each in (self._reader, self._checker):
            if each is not None:
                each.cancel()
        self._reader = self._checker = None

    def on_descendant_focus(self) -> None:
        self.query_one("#receipt", DrawnView).redraw()  # it names a key only where that is no text

    def on_choice_list_looked(self) -> None:
        self.query_one("#receipt", DrawnView).redraw()

    def on_unmount(self) -> None:
        self._stop()

    # --- showing ----------------------------------------------------------------------------------------------

    def _receipt(self, width: int) -> Sequence[Line]:
        """What is known of the dataset that is pointed at, and of the rows that are chosen."""
        about = self._about(width)
        return [*about, *self._rows_told(width)]

    def _about(self, width: int) -> list[Line]:
        """The use case or the well-known dataset that the keyboard is on: what it is good for and what gets worse."""
        from data.catalog import entry_of

        question = self.focused_question()
        if question is not None and question.name == USE_CASE:
            present = self.desk.draft.value(USE_CASE)
            choice = next((each for each in self.desk.choices(USE_CASE) if each.value == present), None)
        else:
            choice = next((each.pointed_choice for each in self.query(ChoiceList) if each.has_focus), None)
            choice = choice if choice is not None and entry_of(choice.value) else None
        return wrap(literal(choice.explanation), width, "dim") if choice else []

    def _rows_told(self, width: int) -> Sequence[Line]:
        """The format with its reason, then the counts, then what the checks found; or why there is none of it."""
        review = self.desk.review
        if missing := missing_told(self.desk.draft, width, here="3"):
            return missing
        is_refused = review is not None and self.desk.is_current and (review.fault or review.problems)
        mapping = self.query_one(ColumnMapping)
        if mapping.lacking and self.preview is None and (self.fault or self._is_remapped):
            own = ", ".join(mapping.columns)
            parts = f"{' and '.join(mapping.lacking)} {'are' if len(mapping.lacking) > 1 else 'is'} still missing"
            return wrap(literal(f"{parts}: choose a column for it below. The file has {own}."), width, "warn")
        if self._is_remapped and not is_refused:
            return [line(("reading the rows with the new columns…", "dim"))]
        if review is not None and is_refused:
            return fault_told(review.fault or "\n".join(str(each) for each in review.problems), width)
        if self.fault is not None and is_to_be_fetched(self.desk.draft):
            return [*wrap(NOT_HERE, width, "warn"), *wrap(literal(fetching(self.desk.draft)), width)]
        if self.fault is not None and mapping.display:
            what_then = WHAT_THEN.format(key="" if self.wizard.is_typing else " (f)")
            takes = "" if self.wizard.is_typing else " (y takes it)"
            perhaps = [f"Perhaps {each.recipe} is meant{takes}." for each in self._proposals[:1]]
            perhaps += [f"Or {each.recipe}." for each in self._proposals[1:MOST_PROPOSALS]]
            told_perhaps = [each for text in perhaps for each in wrap(literal(text), width)]
            return [*fault_told(self.fault.happened, width), *told_perhaps, *wrap(what_then, width)]
        if self.fault is not None:
            return fault_told(str(self.fault), width)
        preview = self.preview
        told: list[Line] = []
        if preview is None:
            return [line(("reading the rows… going on does not wait for it", "dim")), *self._checks_told(width)]
        if preview.detection:
            name = literal(preview.detection.format)
            first, *rest = wrap(f"{name} because {literal(preview.detection.reason)}", width - 7, "dim")
            head = line(("Format ", "dim"), (name, "strong"), (first[0].text.removeprefix(name), "dim"))
            told += [head, *((*line(" " * 7), *each) for each in rest)]
        told += self._counts(width)
        if preview.note:
            told += wrap(literal(preview.note), width, "warn")
        return [*told, *self._checks_told(width)]

    def _checks_told(self, width: int) -> list[Line]:
        found = self.findings
        most = MOST_LINES if self.app.size.height >= HIGH else 1  # on a low screen the row itself needs the place
        return findings_lines(found, width, most=most, ellipsis=self.glyphs.ellipsis) if found else []

    def _counts(self, width: int) -> list[Line]:
        receipt = self.preview.receipt if self.preview else None
        if receipt is None:
            return [line(("counting tokens…", "dim"))] if self.is_reading else []
        skipped = sum(note.num_rows for note in receipt.rejected)
        rows = f"{receipt.num_train:,} train, {receipt.num_eval:,} eval, {receipt.num_test:,} test"
        more = [f"{skipped:,} rejected"] if skipped else []
        more += [f"{receipt.num_duplicates:,} duplicates left out"] if receipt.num_duplicates else []
        lengths = f"median {receipt.length_p50:,}, 95 % up to {receipt.length_p95:,}, longest {receipt.length_max:,}"
        told = [
            line(("Rows   ", "dim"), rows, (f"; {', '.join(more)}" if more else "", "warn")),
            line(("Tokens ", "dim"), f"{lengths}; {receipt.share_trained:.0%} are trained"),
        ]
        over = receipt.over_length
        if over.num_rows:
            what = {"truncate": "are cut", "drop": "are left out", "refuse": "stop the run"}[receipt.on_overflow]
            told.append(line((f"{over.num_rows:,} rows over {receipt.max_length:,} tokens {what}", "warn")))
        for note in receipt.rejected[:3]:
            places = note.first_places[0] if note.first_places else f"line {', '.join(map(str, note.first_lines))}"
            told.append(line((f"  rejected, {literal(places)}: {literal(note.what)}", "warn")))
        if self.app.size.height >= HIGH:
            told += [each for note in receipt.notes[:MOST_NOTES] for each in wrap(literal(note), width, "dim")]
        return [fit_line(each, width, ellipsis=self.glyphs.ellipsis) for each in told]

    def below(self, width: int) -> Sequence[Line]:
        row = self.shown_row
        if row is None or self.preview is None:
            return ()
        read = "as the model reads it" if row.num_tokens is not None else "without the model's marks"
        place = f"Row {self.row + 1} of the first {len(self.preview.rows)} (line {row.line}), {read}"
        told = [line(""), fit_line(line((place, "title"), ("  n next  p before", "dim")), width)]
        if row.num_tokens is not None and row.num_trained is not None:
            told.append(token_legend(row.num_trained, row.num_tokens))
        told += token_lines(row.pieces[: row.num_pieces_kept], width, self.glyphs)
        if row.is_left_out:
            told.append(line(("this row is left out: it is longer than max_length", "warn")))
        elif row.is_cut:
            gone = sum(len(text) for text, _ in row.pieces[row.num_pieces_kept :])
            told.append(line((f"cut off here, {gone:,} characters more: longer than max_length", "warn")))
        return [*told, *self._histogram(width)]

    def _histogram(self, width: int) -> list[Line]:
        """How long the rows are, on a high screen only: a low one needs the place for the row."""
        lengths = dict(self.preview.lengths) if self.preview else {}
        if self.app.size.height < HIGH or sum(lengths.values()) < LEAST_COUNTED:
            return []
        drawn = histogram_lines(lengths, width, HISTOGRAM_HEIGHT, self.glyphs)
        return [line(""), line(("Train rows by their number of tokens", "title")), *map(line, drawn)] if drawn else []

    @property
    def shown_row(self) -> PreviewedRow | None:
        rows = self.preview.rows if self.preview else ()
        return rows[self.row % len(rows)] if rows else None

    def action_show_row(self, by: int) -> None:
        if self.preview and self.preview.rows:
            self.row = (self.row + by) % len(self.preview.rows)
            self.sync()

    def action_take(self) -> None:
        """The first proposal becomes the answers."""
        if not self._proposals:
            self.wizard.say("nothing is proposed: it is known how these rows are read, or they are not read yet")
            return
        from tui_app.recipe_values import as_text

        meant = self._proposals[0]
        for name, value in (
            ("data.format", meant.format),
            ("data.columns", dict(meant.columns)),
            ("data.template", meant.template),
        ):
            if value:
                self.wizard.give(name, as_text(value))

    def action_findings(self) -> None:
        if self.findings is None:
            self.wizard.say("the rows are not checked yet, or cannot be read")
        else:
            self.app.push_screen(TextPage("What the checks found", findings_text(self.findings)))

    def action_format(self) -> None:
        """To the field that names the format, shown if it was hidden."""
        self.app.call_later(self.wizard.go_to_field, self.wizard.place, "data.format")
