"""The commands for what comes after training: `finetui eval`, `export` and so on. Each module here is one.

What such a module offers, and how it is found: `tui_app/command_modules`.
"""
