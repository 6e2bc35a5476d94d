"""The export for counsel: what left, what was removed, why it was lawful, what was refused, what was decided on what, and how often we erred.

The same desk or hub gives the same bytes, so a second export shows that the first was not doctored.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jinja2
import msgspec

from stillwatch.share.desk.book import NAME, checked
from stillwatch.share.desk.desk import Desk, DeskError
from stillwatch.share.desk.heads import Head, compare
from stillwatch.share.desk.people import people
from stillwatch.share.hub.taxii import time_text
from stillwatch.share.release import RULES
from stillwatch.share.tlog import log as tree

if TYPE_CHECKING:  # a lab's side needs no database
    from sqlalchemy.engine import Connection

    from stillwatch.share.hub.database import Database

Row = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Pack:
    """Files by name, report and manifest among them."""

    files: Mapping[str, bytes]


def of_desk(desk: Desk, heads: Sequence[Head] | None = None) -> Pack:
    """A lab's side.

    Args:
        heads: every head of the ledger that the hub has logged; None where the hub was not asked.

    Raises:
        DeskError: the ledger is not as it was written, or not the one whose heads the hub has logged.
    """
    lines = desk.book.lines()
    ledger = checked(lines, desk.folder / NAME, desk.key.public_key())
    if heads is not None:
        compare(desk, heads, ledger)
    messages = _messages(ledger)
    refusals = [
        {"at": e["at"], "subject": e["detail"]["subject"], **r} for e in ledger if e["kind"] == "withheld" for r in e["detail"]["refusals"]
    ]
    refused = [{"at": e["at"], **e["detail"]} for e in ledger if e["kind"] == "refused"]
    reopened = {e["detail"]["decision"]: (e["at"], e["detail"]["why"]) for e in ledger if e["kind"] == "reopened"}
    decisions = [
        {
            "number": e["n"],
            "at": e["at"],
            **e["detail"],
            "reopened": reopened.get(e["n"], (None, None))[0],
            "because": reopened.get(e["n"], (None, None))[1],
        }
        for e in ledger
        if e["kind"] == "decision"
    ]
    persons = [
        {
            **msgspec.to_builtins(s.person),
            "added": s.added,
            "added_by": s.added_by or "founder",
            "removed": s.removed,
            "removed_by": s.removed_by,
        }
        | {"changes": list(s.changes)}
        for s in people(desk, ledger)
    ]
    keys = [
        {"at": e["at"], **{k: e["detail"]["statement"][k] for k in ("old", "new", "by")}, "number": e["n"]}
        for e in ledger
        if e["kind"] == "key-changed"
    ]
    gaps = [
        {
            "number": e["n"],
            "at": e["at"],
            "by": [x["name"] for x in e["detail"]["signatures"]],
            "why": e["detail"]["statement"]["why"],
            "heads_lost": len(e["detail"]["statement"]["lost"]),
        }
        for e in ledger
        if e["kind"] == "gap"
    ]
    tokens = [{"at": e["at"], **e["detail"]} for e in ledger if e["kind"] == "tokens"]
    sent = [m for m in messages if m["sent"]]
    campaigns = [m for m in sent if m["release"].startswith("campaign--")]
    releases = {r.id: r for r in desk.book.releases()}
    reasons = Counter(json.loads(releases[m["release"]].document)["reason"] for m in sent if m["release"].startswith("retraction--"))
    objections = [r for r in desk.inbox("opinion") if "disagree" in r.object["opinion"]]
    rates = {
        "campaigns_sent": len(campaigns),
        "retracted": sum(reasons.values()),
        "retracted_by_reason": dict(sorted(reasons.items())),
        "error_rate": _rate(reasons["error"], len(campaigns)),
        "appeals_upheld": reasons["appeal-upheld"],
        "objections_of_partners": len(objections),
        "withheld": sum(e["kind"] == "withheld" for e in ledger),
        "refused": len(refused),
        "decisions": len(decisions),
        "decisions_reopened": len(reopened),
    }
    files = {
        "messages.jsonl": _lines(messages),
        "refusals.jsonl": _lines(refusals),
        "decisions.jsonl": _lines(decisions),
        "refused.jsonl": _lines(refused),
        "persons.jsonl": _lines(persons),
        "keys.jsonl": _lines(keys),
        "gaps.jsonl": _lines(gaps),
        "tokens.jsonl": _lines(tokens),
        "rates.json": json.dumps(rates, indent=1).encode(),
        "ledger.jsonl": b"".join(line + b"\n" for line in lines),
        "policy.toml": (desk.folder / "policy.toml").read_bytes(),
        "public-key.hex": desk.key.public_key().public_bytes_raw().hex().encode(),
    }
    for r in releases.values():
        files |= {f"releases/{r.id}/document.json": r.document, f"releases/{r.id}/bundle.json": r.bundle}
    approvals = {e["detail"]["release"]: e["detail"] for e in ledger if e["kind"] == "approved"}
    files |= {f"releases/{ident}/approval.json": json.dumps(d, indent=1).encode() for ident, d in approvals.items()}
    tables = [
        (
            "What left, or was prepared to",
            (
                "release",
                "subject",
                "bytes",
                "legal_basis",
                "source",
                "counsel",
                "approved_by",
                "approved_key",
                "approved",
                "sent",
                "stored",
            ),
            messages,
        ),
        ("What was removed before it left", ("release", "removed"), messages),
        ("What was refused at the door", ("at", "subject", "rule", "reason", "reference"), refusals),
        ("Sendings and decisions that were refused", ("at", "what", "subject", "by", "reason"), refused),
        (
            "Decisions",
            ("number", "at", "campaign", "action", "by", "second", "evidence", "note", "reopened", "because"),
            decisions,
        ),
        ("Persons, now and before", ("name", "roles", "public_key", "added", "added_by", "changes", "removed", "removed_by"), persons),
        ("Changes of the lab's key", ("number", "at", "old", "new", "by"), keys),
        ("Entries of the ledger that were lost", ("number", "at", "by", "why", "heads_lost"), gaps),
        ("Blinded traits", ("at", "campaign", "trait", "epoch", "tokens"), tokens),
    ]
    title = f"Member {desk.member}: sharing under review"
    logged = "the hub was not asked" if heads is None else f"{len(heads)}, all of them of this ledger or of a gap named below"
    facts = {"ledger entries, all signatures and links checked": len(ledger), "heads of the ledger in the hub's log": logged, **rates}
    return _packed(title, facts, tables, files)


def _messages(ledger: Iterable[Row]) -> list[dict[str, Any]]:
    """What became of each release; of one that was prepared more than once the last time."""
    by: dict[str, dict[str, Any]] = {}
    for e in ledger:
        d = e["detail"]
        if e["kind"] == "prepared":
            again = by.get(d["release"], {})
            by[d["release"]] = {
                "approved": None,
                "approved_by": None,
                "approved_key": None,
                "sent": None,
                "stored": 0,
                "refused_by_hub": [],
                **again,
                **d,
                "prepared": e["at"],
                "counsel": _counsel(d["counsel"]),
            }
        elif e["kind"] == "approved" and d["release"] in by:
            by[d["release"]] |= {"approved": e["at"], "approved_by": d["by"], "approved_key": d["public_key"]}
        elif e["kind"] == "sent" and d["release"] in by:
            by[d["release"]] |= {"sent": e["at"], "stored": d["stored"], "refused_by_hub": d["refused"]}
    return list(by.values())


def _counsel(said: Any) -> str | None:
    """Who released it as counsel, and with which key."""
    if isinstance(said, Mapping):
        return f"{said['name']}, key {said['public_key']}"
    return "somebody whom an earlier version did not put down" if said else None


def of_hub(db: Database, c: Connection) -> Pack:
    """The hub's side; every entry is checked against the log's own leaf and tree."""
    size, head = db.checkpoint(c)
    rows = []
    leaves: dict[tuple[int, int], bytes] = {}
    for begin in range(0, size, 1000):
        for r in db.entries(c, begin, begin + 1000):
            entry, detail = json.loads(r.entry), json.loads(r.detail)
            if entry["detail"] != sha256(r.salt + r.detail).hexdigest():
                raise DeskError(f"log entry {r.number}: the detail is not the one that was logged")
            for level, number, value in tree.appended(r.number, tree.leaf_hash(r.entry), lambda at, n: leaves[at, n]):
                leaves[level, number] = value
            rows.append(
                {
                    "number": r.number,
                    "at": time_text(entry["at"] * 1_000_000),
                    "kind": entry["kind"],
                    "salt": r.salt.hex(),
                    "detail": detail,
                }
            )
    if tree.root(size, lambda level, number: leaves[level, number]) != head:
        raise DeskError("the log's entries do not make its tree")
    contributions = [{"at": r["at"], **r["detail"]} for r in rows if r["kind"] == "contribution"]
    stored, refused = sum(len(r["stored"]) for r in contributions), [x for r in contributions for x in r["refused"]]
    rates = {
        "contributions": len(contributions),
        "objects_stored": stored,
        "objects_refused": len(refused),
        "refusal_rate": _rate(len(refused), stored + len(refused)),
        "reads": sum(r["kind"] == "read" for r in rows),
        "answers_at_quorum": sum(n for r in rows if r["kind"] == "quorum" for _, _, n in _matched(r["detail"])),
    }
    refusals = [{"at": r["at"], "member": r["member"], "object": x[0], "reason": x[1]} for r in contributions for x in r["refused"]]
    shown = [{**r, "stored": len(r["stored"]), "refused": len(r["refused"])} for r in contributions]
    changes = [{"number": r["number"], "at": r["at"], "kind": r["kind"], **r["detail"]} for r in rows if r["kind"] in _CHANGES]
    answered = [
        {"at": r["at"], "at_least": r["detail"]["at_least"], "trait": trait, "epoch": epoch, "tags": n}
        for r in rows
        if r["kind"] == "quorum"
        for trait, epoch, n in _matched(r["detail"])
    ]
    tables = [
        ("Contributions", ("at", "member", "collection", "stored", "refused"), shown),
        ("What was refused", ("at", "member", "object", "reason"), refusals),
        ("Answers at quorum", ("at", "trait", "epoch", "at_least", "tags"), answered),
        (
            "Members, persons, keys and rights",
            ("number", "at", "kind", "member", "person", "act", "key", "role", "owner", "collection"),
            changes,
        ),
    ]
    files = {
        "log.jsonl": _lines(rows),
        "contributions.jsonl": _lines(contributions),
        "refusals.jsonl": _lines(refusals),
        "rates.json": json.dumps(rates, indent=1).encode(),
        "tree.json": json.dumps({"size": size, "root": head.hex()}).encode(),
    }
    return _packed(
        "The hub: sharing under review", {"log entries, all digests and the tree checked": size, "root": head.hex(), **rates}, tables, files
    )


def _matched(detail: Mapping[str, Any]) -> list[tuple[str, str, int]]:
    """(kind, epoch, tags) of an entry of answers; entries of before answers came once a day list each tag."""
    if "matched" in detail:
        return [(trait, epoch, n) for trait, epoch, n in detail["matched"]]
    return [(trait, epoch, n) for (trait, epoch), n in sorted(Counter((t[0], t[1]) for t in detail["tags"]).items())]


_CHANGES = frozenset(
    {
        *("member-enrolled", "member-revoked", "member-reinstated", "key-changed", "token-changed", "rights-changed", "person"),
        *("key-holder-key", "restored"),
    }
)


def write(pack: Pack, out: Path) -> None:
    """Write a pack's files."""
    for name, body in pack.files.items():
        path = out / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(body)


def _packed(
    title: str, facts: Mapping[str, object], tables: list[tuple[str, tuple[str, ...], list[Any]]], files: Mapping[str, bytes]
) -> Pack:
    page = jinja2.Environment(loader=jinja2.PackageLoader("stillwatch.share.desk"), autoescape=True).get_template("audit.html")
    rules = [(r.id, r.title, r.reference) for r in RULES]
    report = page.render(title=title, facts=facts, tables=tables, rules=rules, shown=_shown).encode()
    everything = {**files, "report.html": report}
    manifest = {name: {"bytes": len(body), "sha256": sha256(body).hexdigest()} for name, body in sorted(everything.items())}
    return Pack({**everything, "manifest.json": json.dumps(manifest, indent=1).encode()})


def _shown(value: object) -> str:
    if value is None:
        return "–"
    if isinstance(value, Mapping):
        return ", ".join(f"{k}: {v}" for k, v in value.items()) or "–"
    return str(value)


def _lines(rows: Iterable[Row]) -> bytes:
    return b"".join(json.dumps(dict(r), sort_keys=True).encode() + b"\n" for r in rows)


def _rate(part: int, whole: int) -> float | None:
    return round(part / whole, 4) if whole else None
