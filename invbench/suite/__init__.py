"""What is a run of all this? The user's options, and the session that they describe.

Only the options are imported here, since the command line reads them before it needs torch;
`invbench.suite.session` runs the cases and `invbench.suite.speed` times them in processes.
"""

from __future__ import annotations

from invbench.suite.options import Options, add_options

__all__ = ["Options", "add_options"]
