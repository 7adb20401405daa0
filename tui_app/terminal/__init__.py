"""The terminal itself: what it can do, which front end suits it, and how few bytes keep it up to date.

`abilities` reads the terminal once, `gate` chooses the front end, `diff_driver` draws for Textual. Nothing here
knows a screen, a panel or a run.
"""
