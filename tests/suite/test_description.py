"""What a run is made of, in words that can be written and read again."""

from __future__ import annotations

from invbench.suite import Options
from invbench.suite.description import describe
from invbench.suite.resolve import Suite


def test_bytes_of_a_command_that_are_no_text_are_spelled_out():
    found = describe(Suite(Options(device="cpu")), "run", ["score", "-o", "run\udcff"], [])
    assert found.argv == ("score", "-o", "run\\udcff")
    assert "".join(found.argv).encode()
