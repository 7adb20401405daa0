"""What is asked before a run, once for all front ends: the steps, their questions, the draft that answers fill.

No Textual here, no printing: `tui_app/screens` shows the steps full-screen, `tui_app/fronts` line by line.
"""
