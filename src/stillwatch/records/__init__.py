"""The nouns: Arrow schemas of the tables between the rooms, and the frozen records a case is made of."""

from stillwatch.records.case import ACTIONS, QUESTIONS, Campaign, Case, Custody, Lead, Notice, Reason, RunRecord, Segment, StreamRow
from stillwatch.records.schemas import ACCOUNT_RESULTS, ACCOUNTS, ATTRIBUTED, CALLS, SKETCHES
from stillwatch.records.techniques import TECHNIQUES, Technique

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
