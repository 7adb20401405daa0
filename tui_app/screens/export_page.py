"""What is to be made of a trained run: kinds and GGUF types, each with size and time, and why not where not.

Not here: the offers (`tui_app/runs/export_offers`) and making them (`engine/exporters`).
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import ClassVar

from tui_app.runs.export_offers import export_asking, export_offers, usual_marks
from tui_app.runs.offers import Asking, Offer
from tui_app.screens.asking_page import AskingPage


class ExportPage(AskingPage):
    """Begins with what the recipe asks for, else with a merged model and the usual GGUF type."""

    TOPIC: ClassVar = "Export"
    PLACE: ClassVar = "export"
    ABOUT: ClassVar = (
        "Each artifact is loaded again and checked before it is put in place. What is there already and up to date "
        "is not made again."
    )
    GLOSSARY: ClassVar = (
        "adapter: what was trained, for PEFT on top of the base model.\n"
        "merged: base and adapter in one model folder.\n"
        "GGUF: one file for llama.cpp, LM Studio and Ollama; its type says to how many bits weights are rounded.\n"
        "imatrix: an importance matrix, which says which weights your own rows use most; rounding spares them.\n"
        "agreement: share of rows that an artifact answers exactly as the tuned model does."
    )

    def offers(self) -> Sequence[Offer]:
        return export_offers(self.viewer.run, self.viewer.state)

    def marks(self, offers: Sequence[Offer]) -> Collection[str]:
        return usual_marks(offers)

    def asking(self, offers: Sequence[Offer], marked: Collection[str]) -> Asking:
        return export_asking(self.viewer.run, offers, marked)
