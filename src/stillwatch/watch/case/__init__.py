"""Campaigns that last over runs: what each is called, what became of it, and what was decided about it."""

from stillwatch.watch.case.file import NAME, CaseError, CaseFile, Decision, Entry, Event, Run
from stillwatch.watch.case.names import Known, Named, Sighting, assign, fresh_id, sender_of_first, sighting

__all__ = [
    "NAME",
    "CaseError",
    "CaseFile",
    "Decision",
    "Entry",
    "Event",
    "Known",
    "Named",
    "Run",
    "Sighting",
    "assign",
    "fresh_id",
    "sender_of_first",
    "sighting",
]
