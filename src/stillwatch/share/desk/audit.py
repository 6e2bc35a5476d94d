"""The export for counsel: what left, what was removed, why it was lawful, what was refused, what was decided on what, and how often we erred.

The same desk or hub gives the same bytes, so a second export shows that the first was not doctored.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jinja2

from stillwatch.share.desk.desk import Desk, DeskError
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


def of_desk(desk: Desk) -> Pack:
    """A lab's side.

    Raises:
        DeskError: the ledger is not as it was written.
    """
    ledger = desk.ledger()
    by: dict[str, dict[str, Any]] = {}
    for e in ledger:
        d = e["detail"]
        if e["kind"] == "prepared":
            by[d["release"]] = {
                **d,
                "prepared": e["at"],
                "approved": None,
                "approved_by": None,
                "sent": None,
                "stored": 0,
                "refused_by_hub": [],
            }
        elif e["kind"] == "approved" and d["release"] in by:
            by[d["release"]] |= {"approved": e["at"], "approved_by": d["by"]}
        elif e["kind"] == "sent" and d["release"] in by:
            by[d["release"]] |= {"sent": e["at"], "stored": d["stored"], "refused_by_hub": d["refused"]}
    messages = list(by.values())
    refusals = [
        {"at": e["at"], "subject": e["detail"]["subject"], **r} for e in ledger if e["kind"] == "withheld" for r in e["detail"]["refusals"]
    ]
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
    tokens = [{"at": e["at"], **e["detail"]} for e in ledger if e["kind"] == "tokens"]
    sent = [m for m in messages if m["sent"]]
    campaigns = [m for m in sent if m["release"].startswith("campaign--")]
    reasons = Counter(
        json.loads((desk.folder / "outbox" / m["release"] / "document.json").read_bytes())["reason"]
        for m in sent
        if m["release"].startswith("retraction--")
    )
    objections = [r for _, r in desk.inbox() if r["object"]["type"] == "opinion" and "disagree" in r["object"]["opinion"]]
    rates = {
        "campaigns_sent": len(campaigns),
        "retracted": sum(reasons.values()),
        "retracted_by_reason": dict(sorted(reasons.items())),
        "error_rate": _rate(reasons["error"], len(campaigns)),
        "appeals_upheld": reasons["appeal-upheld"],
        "objections_of_partners": len(objections),
        "withheld": sum(e["kind"] == "withheld" for e in ledger),
        "decisions": len(decisions),
        "decisions_reopened": len(reopened),
    }
    files = {
        "messages.jsonl": _lines(messages),
        "refusals.jsonl": _lines(refusals),
        "decisions.jsonl": _lines(decisions),
        "tokens.jsonl": _lines(tokens),
        "rates.json": json.dumps(rates, indent=1).encode(),
        "ledger.jsonl": (desk.folder / "ledger.jsonl").read_bytes() if ledger else b"",
        "policy.toml": (desk.folder / "policy.toml").read_bytes(),
        "public-key.hex": desk.key.public_key().public_bytes_raw().hex().encode(),
    }
    for m in messages:
        for name in ("document.json", "bundle.json", "approval.json", "signed.json"):
            path = desk.folder / "outbox" / m["release"] / name
            if path.exists():
                files[f"releases/{m['release']}/{name}"] = path.read_bytes()
    tables = [
        (
            "What left, or was prepared to",
            ("release", "subject", "bytes", "legal_basis", "source", "approved_by", "approved", "sent", "stored"),
            messages,
        ),
        ("What was removed before it left", ("release", "removed"), messages),
        ("What was refused at the door", ("at", "subject", "rule", "reason", "reference"), refusals),
        ("Decisions", ("number", "at", "campaign", "action", "by", "evidence", "note", "reopened", "because"), decisions),
        ("Blinded traits", ("at", "campaign", "trait", "epoch", "tokens"), tokens),
    ]
    title = f"Member {desk.member}: sharing under review"
    facts = {"ledger entries, all signatures and links checked": len(ledger), **rates}
    return _packed(title, facts, tables, files)


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
        ("Members, keys and rights", ("number", "at", "kind", "member", "key", "role", "owner", "collection"), changes),
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


_CHANGES = frozenset({"member-enrolled", "member-revoked", "key-changed", "token-changed", "rights-changed"})


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
