"""``python -m exterview_auth``."""

import sys

from ._cli import main

sys.exit(main())
