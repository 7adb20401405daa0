"""Who is to be scored again, on how many rows and by what: base, tuned model and everything that was exported.

Not here: the offers (`tui_app/runs/evaluate_offers`) and scoring (`engine/evaluation`).
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import ClassVar

from tui_app.runs.evaluate_offers import evaluate_asking, evaluate_offers, usual_marks
from tui_app.runs.offers import Asking, Offer
from tui_app.screens.asking_page import AskingPage


class EvaluatePage(AskingPage):
    """Begins with everybody on all rows."""

    TOPIC: ClassVar = "Score again"
    PLACE: ClassVar = "score"
    ABOUT: ClassVar = (
        "Score the base, the tuned model and what was made of it on the same rows, one table. Rows of your own: "
        "finetui eval RUN --data FILE."
    )
    GLOSSARY: ClassVar = (
        "paired: every variant answers the same rows, so rows that got better and worse are counted, not only sums.\n"
        "95 % interval: where the score would probably lie if far more rows were asked.\n"
        "sign test: how often chance alone parts better from worse rows like this."
    )

    def offers(self) -> Sequence[Offer]:
        return evaluate_offers(self.viewer.run, self.viewer.state)

    def marks(self, offers: Sequence[Offer]) -> Collection[str]:
        return usual_marks(offers)

    def asking(self, offers: Sequence[Offer], marked: Collection[str]) -> Asking:
        return evaluate_asking(self.viewer.run, offers, marked)
