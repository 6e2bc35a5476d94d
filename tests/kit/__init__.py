"""A kit for what keeps things on disk: clocks that jump, breaks after the n-th write, two processes at once; and a world that many tests share."""

from tests.kit.breaks import break_after, every_break
from tests.kit.clock import Clock
from tests.kit.together import at_once
from tests.kit.worlds import NOBODY, QUIET, few_customers

__all__ = ["NOBODY", "QUIET", "Clock", "at_once", "break_after", "every_break", "few_customers"]
