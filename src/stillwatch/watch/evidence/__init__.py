"""Campaigns -> evidence: the report, the explanation, the skeleton of a family, and the lines of ``campaigns.jsonl`` and ``leads.jsonl``."""

from stillwatch.watch.evidence.explain import explain
from stillwatch.watch.evidence.report import SIDE_FILES, Report, render_report
from stillwatch.watch.evidence.serialise import (
    campaign_from_json,
    campaign_to_json,
    lead_from_json,
    lead_to_json,
    run_from_json,
    run_to_json,
    to_json_line,
)
from stillwatch.watch.evidence.skeleton import skeleton
from stillwatch.watch.evidence.unjudged import unjudged, unknown_fields
from stillwatch.watch.evidence.words import standing

__all__ = [
    "SIDE_FILES",
    "Report",
    "campaign_from_json",
    "campaign_to_json",
    "explain",
    "lead_from_json",
    "lead_to_json",
    "render_report",
    "run_from_json",
    "run_to_json",
    "skeleton",
    "standing",
    "to_json_line",
    "unjudged",
    "unknown_fields",
]
