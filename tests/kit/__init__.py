"""A kit for what keeps things on disk: clocks that jump, breaks after the n-th write, two processes at once."""

from tests.kit.breaks import break_after, every_break
from tests.kit.clock import Clock
from tests.kit.together import at_once

__all__ = ["Clock", "at_once", "break_after", "every_break"]
