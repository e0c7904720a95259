"""``python -m peerboot``."""

import sys

from peerboot.cli import main

sys.exit(main())
