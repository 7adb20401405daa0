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
from tui_app.drawing import Line, fit_line, line, literal, wrap
from tui_app.keys import Key, bindings
from tui_app.screens.wizard_desk import Desk
from tui_app.screens.wizard_model import fault_told, missing_told
from tui_app.screens.wizard_page import StepPage
from tui_app.steps.paths import Wanted
from tui_app.steps.schema import Step
from tui_app.widgets.column_mapping import ColumnMapping
from tui_app.widgets.drawn_view import DrawnView
from tui_app.widgets.token_lines import token_legend, token_lines

if TYPE_CHECKING:
    from data.raw_rows import RawRows
    from engine.row_preview import PreviewedRow, RowPreview, RowPreviewing
    from engine.starting import Prospect

KEYS = (
    Key("n", "show_row(1)", "next row", "Show the next of the rows.", footer=True),
    Key("p", "show_row(-1)", "row before", "Show the row before."),
    Key("f", "format", "format", "To the field that says how rows are read."),
)

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

    def __init__(self, desk: Desk, step: Step) -> None:
        super().__init__(desk, step)
        self.preview: RowPreview | None = None
        self.fault: FinetuiError | None = None
        self.row = 0
        self.is_reading = False
        self._is_remapped = False
        """Whether columns were given other parts since the rows were last understood or refused."""
        self._reader: RowPreviewing | None = None
        self._read_for: Any = None

    def compose(self) -> ComposeResult:
        yield self.above_view
        dataset, *others = self.questions(is_advanced=False)
        yield from self.field_of(dataset)
        yield DrawnView(self._receipt, id="receipt")
        yield ColumnMapping()
        for question in others:
            yield from self.field_of(question)
        yield self.below_view
        yield from self.advanced_part()

    # --- reading ----------------------------------------------------------------------------------------------

    def sync(self) -> None:
        super().sync()
        found = self.desk.review.found if self.desk.review and self.desk.is_current else None
        wanted = (found.recipe.data, found.recipe.model, found.recipe.training.max_length) if found else None
        if found is not None and wanted != self._read_for:
            self._read_for = wanted
            self._stop()
            self.preview, self.fault, self.row, self.is_reading = None, None, 0, True
            self._read(found)

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

    async def _raw_seen(self, raw: RawRows) -> None:
        if not self.is_mounted:
            return
        mapping = self.query_one(ColumnMapping)
        review = self.desk.review
        data = review.found.recipe.data if review and review.found else None
        mapping.display = self.desk.shows_advanced or raw.fault is not None or bool(data and data.columns)
        if data is not None and mapping.display:
            detected = raw.detection.format if raw.detection else ""
            await mapping.offer(raw, data.format if data.format != "auto" else detected, data.columns)

    def on_column_mapping_mapped(self, event: ColumnMapping.Mapped) -> None:
        from tui_app.steps.resolving import as_text

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
        if self._reader is not None:
            self._reader.cancel()
            self._reader = None

    def on_descendant_focus(self) -> None:
        self.query_one("#receipt", DrawnView).redraw()  # it names a key only where that is no text

    def on_unmount(self) -> None:
        self._stop()

    # --- showing ----------------------------------------------------------------------------------------------

    def _receipt(self, width: int) -> Sequence[Line]:
        """The format with its reason, then the counts."""
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
        if self.fault is not None and mapping.display:
            what_then = WHAT_THEN.format(key="" if self.wizard.is_typing else " (f)")
            return [*fault_told(self.fault.happened, width), *wrap(what_then, width)]
        if self.fault is not None:
            return fault_told(str(self.fault), width)
        preview = self.preview
        told: list[Line] = []
        if preview is None:
            return [line(("reading the rows… going on does not wait for it", "dim"))]
        if preview.detection:
            name = literal(preview.detection.format)
            first, *rest = wrap(f"{name} because {literal(preview.detection.reason)}", width - 7, "dim")
            head = line(("Format ", "dim"), (name, "strong"), (first[0].text.removeprefix(name), "dim"))
            told += [head, *((*line(" " * 7), *each) for each in rest)]
        told += self._counts(width)
        if preview.note:
            told += wrap(literal(preview.note), width, "warn")
        return told

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
            lines = ", ".join(str(each) for each in note.first_lines)
            told.append(line((f"  rejected, line {lines}: {literal(note.what)}", "warn")))
        return [fit_line(each, width, ellipsis=self.glyphs.ellipsis) for each in told]

    def below(self, width: int) -> Sequence[Line]:
        row = self.shown_row
        if row is None or self.preview is None:
            return ()
        place = f"Row {self.row + 1} of the first {len(self.preview.rows)} (line {row.line}), as the model reads it"
        told = [line(""), fit_line(line((place, "title"), ("  n next  p before", "dim")), width)]
        if row.num_tokens is not None and row.num_trained is not None:
            told.append(token_legend(row.num_trained, row.num_tokens))
        told += token_lines(row.pieces[: row.num_pieces_kept], width, self.glyphs)
        if row.is_left_out:
            told.append(line(("this row is left out: it is longer than max_length", "warn")))
        elif row.is_cut:
            gone = sum(len(text) for text, _ in row.pieces[row.num_pieces_kept :])
            told.append(line((f"cut off here, {gone:,} characters more: longer than max_length", "warn")))
        return told

    @property
    def shown_row(self) -> PreviewedRow | None:
        rows = self.preview.rows if self.preview else ()
        return rows[self.row % len(rows)] if rows else None

    def action_show_row(self, by: int) -> None:
        if self.preview and self.preview.rows:
            self.row = (self.row + by) % len(self.preview.rows)
            self.sync()

    def action_format(self) -> None:
        """To the field that names the format, shown if it was hidden."""
        self.app.call_later(self.wizard.go_to_field, self.wizard.place, "data.format")
