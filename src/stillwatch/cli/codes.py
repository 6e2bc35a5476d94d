"""Exit codes: one table that all commands keep.  docs/cli.md says the same, and a test holds the two together."""

from __future__ import annotations

from typing import Final

DONE: Final = 0
"""Done; campaigns were found or not."""
NO: Final = 1
"""Something was refused, at the door or by the hub; or campaigns were found and --fail-on-found was given."""
UNUSABLE: Final = 2
"""The command, its input or its surroundings cannot be used: one line says what and what to do."""
DISTRUST: Final = 3
"""The hub's log is not what it was: do not trust this hub."""
FAULT: Final = 70
"""A fault of Stillwatch itself; the lines above it are what its maintainers need."""
STOPPED: Final = 130
"""Stopped with Ctrl-C."""
UNHEARD: Final = 141
"""Whoever read the output went away, as `| head` does."""
