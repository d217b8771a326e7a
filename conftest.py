"""Load the invbench plugin for every test run that starts in this repository."""

pytest_plugins = ["invbench.plugin"]
