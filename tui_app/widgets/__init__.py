"""Building blocks of the screens that know nothing of runs and recipes."""
