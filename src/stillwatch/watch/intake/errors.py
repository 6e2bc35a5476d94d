"""What stops a reading, and what only drops a line."""

from __future__ import annotations


class IntakeError(Exception):
    """An input that cannot be used at all.  The text names the file (and line and field where known) and says what to do."""


class RowError(Exception):
    """One line that cannot become a call.  Never leaves ``intake``: the reader turns it into a quarantine entry.

    ``reason`` is a constant phrase without any content of the line; ``detail`` may add a position or a type name.
    """

    def __init__(self, field: str, reason: str, detail: str = "") -> None:
        super().__init__(f"{field}: {reason}")
        self.field = field
        self.reason = reason
        self.detail = detail
