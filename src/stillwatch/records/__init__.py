"""The nouns: Arrow schemas of the tables between the rooms, and the frozen records a case is made of.

The schemas bring Arrow along and are imported when they are first used: whoever only names a campaign does without.
"""

from typing import TYPE_CHECKING

from stillwatch.records.case import ACTIONS, QUESTIONS, Campaign, Case, Custody, Lead, Notice, Reason, RunRecord, Segment, StreamRow
from stillwatch.records.techniques import TECHNIQUES, Technique

if TYPE_CHECKING:
    from stillwatch.records.schemas import ACCOUNT_RESULTS, ACCOUNTS, ATTRIBUTED, CALLS, SKETCHES

__all__ = [
    "ACCOUNTS",
    "ACCOUNT_RESULTS",
    "ACTIONS",
    "ATTRIBUTED",
    "CALLS",
    "QUESTIONS",
    "SKETCHES",
    "TECHNIQUES",
    "Campaign",
    "Case",
    "Custody",
    "Lead",
    "Notice",
    "Reason",
    "RunRecord",
    "Segment",
    "StreamRow",
    "Technique",
]


def __getattr__(name: str) -> object:
    if name in __all__:
        from stillwatch.records import schemas  # noqa: PLC0415

        return getattr(schemas, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
