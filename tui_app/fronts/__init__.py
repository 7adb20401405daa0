"""The line-based front ends: the same steps as a list of questions, in a terminal that scrolls.

`plain` uses input() and no escapes at all, `line` uses questionary. Full-screen is `tui_app/screens`.
"""
