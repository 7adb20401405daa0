"""`python -P -m tui_app` is `finetui`."""

import sys

from tui_app.cli import main

sys.exit(main())
