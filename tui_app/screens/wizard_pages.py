"""Which page shows which step."""

from __future__ import annotations

from tui_app.screens.wizard_data import DataPage
from tui_app.screens.wizard_hardware import HardwarePage
from tui_app.screens.wizard_method import MethodPage
from tui_app.screens.wizard_model import ModelPage
from tui_app.screens.wizard_page import StepPage
from tui_app.screens.wizard_review import ReviewPage
from tui_app.steps.schema import Step

PAGES: dict[str, type[StepPage]] = {
    "hardware": HardwarePage,
    "model": ModelPage,
    "data": DataPage,
    "method": MethodPage,
    "review": ReviewPage,
}


def page_for(step: Step) -> type[StepPage]:
    return PAGES.get(step.name, StepPage)
