"""What a run found, as a terminal prints it: rows of a table and the sentences below it."""

from __future__ import annotations

from typing import Final

from stillwatch.records import Case
from stillwatch.watch.evidence.unjudged import unjudged
from stillwatch.watch.evidence.words import count, day, figure, line, needed

#: (column, side to which it is set)
COLUMNS: Final = (
    ("campaign", "left"),
    ("accounts", "right"),
    ("calls", "right"),
    ("since", "left"),
    ("bits", "right"),
    ("needed", "right"),
    ("q", "right"),
    ("techniques", "left"),
)
#: Notes that are printed; a damaged archive may give one a file.  What was not judged is always said whole.
NOTES: Final = 20


def table_rows(case: Case) -> list[tuple[str, ...]]:
    """One row for each campaign, in the order of ``COLUMNS``; the threshold and q are those of its own kind of test."""
    rows: list[tuple[str, ...]] = []
    for c in case.campaigns:
        least = needed(c, case.run)
        asked = "?" if least is None else f"{least:.1f}"
        techniques = " ".join(i for i, _ in c.techniques)
        rows.append((line(c.id), f"{c.accounts:,}", f"{c.calls:,}", day(c.first)[:10], f"{c.bits:.1f}", asked, figure(c.q), techniques))
    return rows


def sentences(case: Case) -> list[str]:
    """What stands below the table, or instead of it: what was tested and read, leads, what was not judged, other notices."""
    run = case.run
    out = []
    if not case.campaigns:
        tests = "the only test" if run.units_tested == 1 else f"none of {count(run.units_tested, 'test')}"
        did = "did not reach its threshold" if run.units_tested == 1 else "reached its threshold"
        out.append(f"No campaign: {tests}, of groups and lone accounts, {did}; a group needed {run.threshold_bits:.1f} bits.")
    out.append(f"{count(run.calls, 'call')} of {count(run.accounts, 'account')} read in {sum(run.timings.values()):.1f} s.")
    if case.leads:
        out.append(f"{count(len(case.leads), 'lead')} worth a look, none a campaign: see the report and leads.jsonl.")
    out += [f"Not judged: {line(n)}" for n in unjudged(case)]
    notes = [n for n in run.notices if not n.unjudged]
    out += [f"Note: {line(n)}" for n in notes[:NOTES]]
    if len(notes) > NOTES:
        out.append(f"{count(len(notes) - NOTES, 'more note')} in run.json.")
    return out
