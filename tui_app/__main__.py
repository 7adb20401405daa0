"""`python -P -m tui_app` is `finetui`."""

import sys

from tui_app.program import main

sys.exit(main())
