"""The pages of the full-screen application. What they show of a run is drawn by `tui_app/panels`."""
