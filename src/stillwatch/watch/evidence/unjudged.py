"""What a run could not judge, and what that may hide."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from stillwatch.records import Case, Notice
from stillwatch.watch.evidence.words import count, part

#: Field -> what it is counted over, what is missing, what goes unseen.
_FIELDS: Final = {
    "text": ("calls", "No prompt can be read in", "A ring that only its prompts tie together goes unseen there."),
    "answer": (
        "calls",
        "No answer is known of",
        "A ring that nothing ties together but answers that come back in its prompts goes unseen there.",
    ),
    "payment": ("accounts", "No card or other payment is known of", "Of a ring among them, shared cards stay unseen."),
    "mail": ("accounts", "No mail address is known of", "Of a ring among them, a common mail domain or pattern stays unseen."),
    "registration": (
        "accounts",
        "No time of sign-up is known of",
        "Of a ring among them, sign-ups at one time or just before use stay unseen.",
    ),
    "network": ("accounts", "No address is known of", "Of a ring among them, a common pool of addresses stays unseen."),
    "verification": (
        "accounts",
        "It is not known whether the holder is verified, of",
        "None of them passes for a verified firm or institution, and none that acts alone is found by being unverified.",
    ),
}


def unknown_fields(unknown: Mapping[str, int], *, calls: int, accounts: int) -> tuple[Notice, ...]:
    """A notice for each field that is not known of every call or account.

    Args:
        unknown: of how many it is not known, by field: text, answer (calls), payment, mail, registration, network, verification (accounts).
        calls: calls of the log.
        accounts: accounts of the log.
    """
    out = []
    for field, n in unknown.items():
        of, missing, hides = _FIELDS[field]
        whole = calls if of == "calls" else accounts
        if n:
            text = f"{missing} {n:,} of {count(whole, of[:-1])} ({part(n, whole)})."
            out.append(Notice(f"unknown-{field}", text, n / whole, of, hides))
    return tuple(out)


def unjudged(case: Case) -> tuple[Notice, ...]:
    """All that was not judged: what the run says of it, rows that could not be used, kinds of evidence that campaigns go without."""
    run = case.run
    out = [n for n in run.notices if n.unjudged]
    rows = run.rejected - sum(int(str(i.get("rejected", 0))) for i in run.inputs if i.get("kind") == "accounts")
    unused, all_rows = rows - run.copies, run.calls + rows  # a copy holds what the call that counts holds
    if unused:
        text = f"{count(unused, 'row')} of {all_rows:,} ({part(unused, all_rows)}) could not be used; the reasons are in quarantine.jsonl."
        out.append(Notice("rejected", text, unused / all_rows, "rows", "What they hold was not looked at."))
    without: dict[str, list[str]] = {}
    for c in case.campaigns:
        for r in c.reasons:
            if not r.assessed:
                without.setdefault(r.id, []).append(c.id)
    for kind, ids in without.items():
        where = ids[0] if len(ids) == 1 else f"{len(ids)} of {count(len(case.campaigns), 'campaign')}"
        out.append(Notice(f"without-{kind}", f"{kind}: not assessed in {where}.", hides="It speaks neither for nor against there."))
    return tuple(out)
