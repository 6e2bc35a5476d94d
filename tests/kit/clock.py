"""A clock that goes where it is told."""

from __future__ import annotations

DAY = 86_400.0


class Clock:
    """``now`` in epoch seconds; nothing moves it but its user."""

    def __init__(self, now: float) -> None:
        self.now = now

    def on(self, days: float) -> float:
        """So many days later; negative goes back."""
        self.now += days * DAY
        return self.now
