"""A run as those see it who start, watch, list and compare runs: values and lines of text, without a widget.

Not here: what is drawn of them (`tui_app/panels`, `tui_app/screens`) and what a run is (`engine`).
"""
