"""The commands around runs: words explained, room made, own defaults, completion. Each module here is one.

What such a module offers, and how it is found: `tui_app/command_modules`.
"""
