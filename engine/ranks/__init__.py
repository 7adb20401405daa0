"""More than one process in an attempt: planned, started, watched. What ranks tell each other is in `training`."""
