"""Judge what a defence found in a labelled world."""

from __future__ import annotations

import csv
import gzip
from collections import Counter, defaultdict
from pathlib import Path

import msgspec
import pyarrow.parquet as pq

from stillwatch.range.errors import SpecError


class CampaignScore(msgspec.Struct, frozen=True):
    """How much of a true campaign one found campaign holds; ``until_found`` is not judged here, see ``play``."""

    name: str
    found: bool
    accounts: int
    calls: int
    account_recall: float
    call_recall: float
    call_precision: float


class WorldScore(msgspec.Struct, frozen=True):
    """A world's result.  ``honest_flagged`` counts by class of honest account with at least one call in a found campaign."""

    campaigns: tuple[CampaignScore, ...]
    false_campaigns: int
    honest: dict[str, int]
    honest_flagged: dict[str, int]
    camouflage: int
    camouflage_flagged: int


def score_world(world: Path, found: Path) -> WorldScore:
    """Compare ``found``/attributed_calls.parquet with the truth of ``world``; everything is counted over the whole world.

    A true campaign is found when one found campaign has at least half of its accounts and consists for at least half of its calls.

    Raises:
        SpecError: a file is missing or cannot be read.
    """
    try:
        with gzip.open(world / "truth_calls.csv.gz", "rt", newline="") as text:
            stream = {r["id"]: (r["account"], r["stream"]) for r in csv.DictReader(text)}
        with (world / "truth_accounts.csv").open(newline="") as text:
            people = {r["account"]: r for r in csv.DictReader(text)}
    except (OSError, KeyError) as error:
        raise SpecError(f"{world}: no truth to judge by ({error}); name a folder that `stillwatch range build` wrote") from None
    try:
        rows = pq.read_table(found / "attributed_calls.parquet", columns=["call_id", "campaign"]).to_pylist()
    except (OSError, ValueError) as error:
        raise SpecError(f"{found}: no attributed_calls.parquet to judge ({error}); name the --out of `stillwatch detect`") from None
    by_found: dict[str, set[str]] = defaultdict(set)
    for r in rows:
        by_found[r["campaign"]].add(r["call_id"])
    names = sorted({r["campaign"] for r in people.values() if r["campaign"]})
    calls: dict[str, set[str]] = defaultdict(set)
    for ident, (_, s) in stream.items():
        calls[s].add(ident)
    scores = []
    for name in names:
        accounts = {stream[i][0] for i in calls[name]}
        best = (0.0, 0.0, 0.0)
        for ids in by_found.values():
            inside = ids & calls[name]
            here = (
                len({stream[i][0] for i in inside}) / max(1, len(accounts)),
                len(inside) / max(1, len(calls[name])),
                len(inside) / len(ids),
            )
            best = max(best, here, key=lambda v: v[1] * v[2])
        scores.append(CampaignScore(name, best[0] >= 0.5 and best[2] >= 0.5, len(accounts), len(calls[name]), *best))
    flagged = {stream[i][0] for ids in by_found.values() for i in ids if i in stream}
    wrong = sum(sum(stream.get(i, ("", ""))[1] in names for i in ids) < len(ids) / 2 for ids in by_found.values())
    ordinary = {i for s, ids in calls.items() if s.startswith("camouflage:") for i in ids}
    return WorldScore(
        tuple(scores),
        wrong,
        dict(Counter(r["cls"] for r in people.values() if not r["campaign"])),
        dict(Counter(people[a]["cls"] for a in flagged if not people[a]["campaign"])),
        len(ordinary),
        len(ordinary & set().union(*by_found.values())) if by_found else 0,
    )


class LeadScore(msgspec.Struct, frozen=True):
    """What the first leads hold.  ``rings`` are shares of each ring's accounts in leads of which the ring is at least half; None where no leads were written."""

    leads: int
    rings: dict[str, float]
    honest: int  # honest accounts in any of them


def score_leads(world: Path, found: Path, *, first: int = 20) -> LeadScore | None:
    """Compare the first lines of ``found``/leads.jsonl, each with ``accounts``, with the truth of ``world``.

    Raises:
        SpecError: the truth is missing, or a lead cannot be read.
    """
    try:
        with (world / "truth_accounts.csv").open(newline="") as text:
            ring = {r["account"]: r["campaign"] for r in csv.DictReader(text)}
        lines = (found / "leads.jsonl").read_text(encoding="utf-8").splitlines()[:first] if (found / "leads.jsonl").exists() else None
        leads = None if lines is None else [set(msgspec.json.decode(one)["accounts"]) for one in lines]
    except (OSError, KeyError, TypeError, msgspec.DecodeError) as error:
        raise SpecError(
            f"{found}: leads cannot be judged ({error}); name a world of the range and the --out of `stillwatch detect`"
        ) from None
    if leads is None:
        return None
    shares = {}
    for name in sorted({r for r in ring.values() if r}):
        own = {a for a, r in ring.items() if r == name}
        held = set().union(*(one for one in leads if len(one & own) * 2 >= len(one)))
        shares[name] = len(held & own) / len(own)
    return LeadScore(len(leads), shares, sum(not ring.get(a) for a in set().union(*leads)))
