"""Ctrl-C, from before the first heavy import to the end.  Imports next to nothing: it must be in place before anything else is."""

from __future__ import annotations

import signal
from types import FrameType
from typing import Final

_presses: Final[list[int]] = []


def install() -> None:
    """Take over SIGINT, unless whoever started the process had it ignored."""
    if signal.getsignal(signal.SIGINT) is not signal.SIG_IGN:
        signal.signal(signal.SIGINT, _pressed)


def ignore() -> None:
    """From here on there is nothing left to stop."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def seen() -> bool:
    """Whether Ctrl-C was pressed.  A library may turn the interrupt into an error of its own: DuckDB does."""
    return bool(_presses)


def _pressed(number: int, _frame: FrameType | None) -> None:
    """Stop at the first; let the second pass, for people press twice and cleaning up must end; die of the third."""
    _presses.append(number)
    if len(_presses) == 1:
        raise KeyboardInterrupt
    if len(_presses) > 2:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        signal.raise_signal(signal.SIGINT)
