"""What does a run consist of? The user's options, and the session that measures what they select.

Only the options are imported here, since the command line reads them before it needs torch.
`invbench.suite.resolve` turns them into objects, `invbench.suite.session` measures the cases and
keeps the records, `invbench.suite.speed` times cases in processes of their own.
"""

from __future__ import annotations

from invbench.suite.options import (
    PREFIX,
    Options,
    add_options,
    as_arguments,
    at_least_one,
    read_options,
    under_pytest,
)
from invbench.suite.places import suite_folder

__all__ = [
    "PREFIX",
    "Options",
    "add_options",
    "as_arguments",
    "at_least_one",
    "read_options",
    "suite_folder",
    "under_pytest",
]
