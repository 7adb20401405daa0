"""How rows and their figures read on a terminal. Only formats."""
