"""Run the command line with ``python -m invbench``."""

from invbench.cli import main

raise SystemExit(main())
