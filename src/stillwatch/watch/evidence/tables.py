"""Long lists of a case as CSV beside the report, for people who open them in a spreadsheet."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Sequence
from typing import Final

from stillwatch.records import Case, RunRecord
from stillwatch.watch.evidence.serialise import iso
from stillwatch.watch.evidence.words import line

#: Longer lists go beside the report.
LONGEST: Final = 50
#: A spreadsheet takes a cell that begins so for a formula; the wide forms too, with some input methods.
_FORMULA: Final = tuple("=+-@＝＋－＠")


class _Lines(list[str]):
    """What ``csv.writer`` writes to."""

    write = list.append


def cell(text: object) -> str:
    """Foreign text that no spreadsheet takes for a formula, with unseen characters as escapes; exact values are in the Parquet files."""
    safe = line(text)
    return f"'{safe}" if safe.lstrip().startswith(_FORMULA) else safe


def accounts_csv(case: Case) -> bytes:
    """One row for each account of each campaign, strongest campaign first; UTF-8 with a mark, times ISO 8601 in UTC."""
    kinds = list(dict.fromkeys(k for c in case.campaigns for s in c.streams for k in s.traits))
    head = ("campaign", "account", "calls", "attributed_calls", "first_call", "last_call", "bits", *kinds)
    rows = (
        (
            cell(c.id),
            cell(s.account),
            s.calls,
            s.attributed_calls,
            iso(s.first),
            iso(s.last),
            s.bits,
            *(cell(s.traits.get(k, "")) for k in kinds),
        )
        for c in case.campaigns
        for s in c.streams
    )
    return _csv([cell(h) for h in head], rows)


def inputs_csv(run: RunRecord) -> bytes:
    """One row for each input of a run, with its digest."""
    head = ("file", "kind", "bytes", "calls", "rejected", "sha256")
    return _csv(head, ([cell(i.get(h, "log" if h == "kind" else "")) for h in head] for i in run.inputs))


def _csv(head: Sequence[str], rows: Iterable[Sequence[object]]) -> bytes:
    lines = _Lines()
    writer = csv.writer(lines)
    writer.writerow(head)
    writer.writerows(rows)
    return "".join(lines).encode("utf-8-sig")
