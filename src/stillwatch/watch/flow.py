"""The whole stream on one screen: logs in, campaigns with evidence out."""

from __future__ import annotations

from contextlib import ExitStack

from stillwatch.records import Case
from stillwatch.watch.campaign import DAY
from stillwatch.watch.detect.name import name
from stillwatch.watch.detect.read import Progress, Settings, read
from stillwatch.watch.detect.settle import settle
from stillwatch.watch.detect.tell import tell, write
from stillwatch.watch.detect.test import test

__all__ = ["Progress", "Settings", "detect"]


def detect(settings: Settings, progress: Progress, *, now: float) -> Case:
    """Find campaigns in logs and write the results to ``settings.out``.

    Output files appear whole or not at all; whatever breaks the run off, the spool of texts is removed.  With a state, files that it holds are not read
    again, and the answer is that of one run over everything it holds.

    Raises:
        IntakeError: the input as a whole cannot be used.
        StateError: the state cannot be gone on with.
        DatabaseError: the case file cannot be used.
    """
    with ExitStack() as stack:
        logs = read(settings, progress, stack, now=now)
        people = settle(logs)
        tested = test(people)
        told = name(tell(tested))
        write(told)
        if settings.window is not None:
            logs.spool.forget(settings.window * DAY)
    progress.enter("")
    return told.case
