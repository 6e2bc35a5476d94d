"""The case file: runs, campaigns with their members and families, lineage and decisions, in one SQLite file."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from sqlite3 import Connection
from types import TracebackType
from typing import Any, Final, Self

from stillwatch.records import ACTIONS
from stillwatch.store.sqlite import Database, DatabaseError, Kind
from stillwatch.watch.case.names import Known, Named, Sighting, assign, fresh_id

NAME: Final = "case.db"

_FIRST: Final = (
    "CREATE TABLE run (id INTEGER PRIMARY KEY, key TEXT NOT NULL UNIQUE, at REAL NOT NULL, by TEXT NOT NULL, version TEXT NOT NULL, inputs TEXT NOT NULL) STRICT",
    "CREATE TABLE campaign (id TEXT PRIMARY KEY, kind TEXT NOT NULL, born INTEGER NOT NULL REFERENCES run) STRICT, WITHOUT ROWID",
    "CREATE TABLE member (campaign TEXT NOT NULL REFERENCES campaign, account TEXT NOT NULL, run INTEGER NOT NULL REFERENCES run,"
    " PRIMARY KEY (campaign, account)) STRICT, WITHOUT ROWID",  # run: the one that saw it last
    "CREATE TABLE family (campaign TEXT NOT NULL REFERENCES campaign, family TEXT NOT NULL, PRIMARY KEY (campaign, family)) STRICT, WITHOUT ROWID",
    "CREATE TABLE sighting (run INTEGER NOT NULL REFERENCES run, campaign TEXT NOT NULL REFERENCES campaign, label TEXT NOT NULL, accounts INTEGER NOT NULL,"
    " calls INTEGER NOT NULL, bits REAL NOT NULL, first REAL NOT NULL, last REAL NOT NULL, PRIMARY KEY (run, campaign)) STRICT, WITHOUT ROWID",
    # how: "split" (campaign came out of other) or "join" (campaign took other in); lineage: whether other is a parent, which never goes in a circle
    "CREATE TABLE tie (run INTEGER NOT NULL REFERENCES run, campaign TEXT NOT NULL REFERENCES campaign, other TEXT NOT NULL REFERENCES campaign,"
    " how TEXT NOT NULL CHECK (how IN ('split', 'join')), lineage INTEGER NOT NULL, PRIMARY KEY (run, campaign, other, how)) STRICT, WITHOUT ROWID",
    "CREATE INDEX tie_other ON tie (other)",
    "CREATE TABLE decision (id INTEGER PRIMARY KEY AUTOINCREMENT, campaign TEXT NOT NULL REFERENCES campaign, action TEXT NOT NULL, by TEXT NOT NULL,"
    " reason TEXT NOT NULL, evidence TEXT NOT NULL, at REAL NOT NULL) STRICT",
    "CREATE TRIGGER decision_stays BEFORE UPDATE ON decision BEGIN SELECT RAISE(ABORT, 'decisions are only added'); END",
    "CREATE TRIGGER decision_is_kept BEFORE DELETE ON decision BEGIN SELECT RAISE(ABORT, 'decisions are only added'); END",
)
KIND: Final = Kind("case file", 0x53574341, (_FIRST,))


class CaseError(ValueError):
    """What cannot be done with a case file; the message says why and what to do."""


@dataclass(frozen=True, slots=True)
class Run:
    """A run as the case file knows it: ``key`` is a digest of all that its answer depends on, so that the same run again is the same run."""

    key: str
    at: float
    by: str
    version: str
    inputs: Sequence[Mapping[str, object]]


@dataclass(frozen=True, slots=True)
class Entry:
    """A campaign in the list: as it was last seen, and what was decided last."""

    id: str
    kind: str
    seen: float  # when the run that saw it last was made
    accounts: int
    calls: int
    bits: float
    first: float
    last: float
    into: str | None  # the campaign that took it in, if it was not seen by itself since
    decision: str | None


@dataclass(frozen=True, slots=True)
class Event:
    """Something that became of a campaign: "found", "seen", "split" (it came out of ``other``), "join" (it took ``other`` in), "joined" (into ``other``),
    "parted" (``other`` came out of it), "decision"."""

    at: float
    what: str
    other: str = ""
    accounts: int = 0
    calls: int = 0
    bits: float = 0.0
    text: str = ""


@dataclass(frozen=True, slots=True)
class Decision:
    """What somebody decided about a campaign, on which evidence: the SHA-256 of the campaign's line in ``campaigns.jsonl``."""

    action: str
    by: str
    reason: str
    evidence: str
    at: float


class CaseFile:
    """A case file, made if it is not there.  Raises DatabaseError as ``Database`` does."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._db = Database(path, KIND)

    @classmethod
    def existing(cls, path: Path) -> Self:
        """One that must be there already.  Raises CaseError where it is not."""
        if not path.is_file():
            raise CaseError(
                f"{path}: no case file there; name the directory that stillwatch detect was given with --state, or else with --out"
            )
        return cls(path)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._db.__exit__(kind, error, trace)

    def name(self, run: Run, found: Sequence[Sighting]) -> list[tuple[str, tuple[str, ...]]]:
        """(name, lineage) of each campaign that a run found, in the order given; the run is put down, all in one transaction.

        The same run again gives the same names, whatever was found in between.
        """
        labels = _labels(found)
        with self._db.write() as db:
            row = db.execute("SELECT id FROM run WHERE key = ?", (run.key,)).fetchone()
            if row is None:
                values = (run.key, run.at, run.by, run.version, json.dumps(list(run.inputs), sort_keys=True))
                number = int(
                    db.execute("INSERT INTO run (key, at, by, version, inputs) VALUES (?, ?, ?, ?, ?) RETURNING id", values).fetchone()[0]
                )
                given: dict[str, str] = {}
            else:
                number = int(row[0])
                given = dict(db.execute("SELECT label, campaign FROM sighting WHERE run = ?", (number,)).fetchall())
            todo = [at for at, label in enumerate(labels) if label not in given]
            known = _known(db, {a for at in todo for a in found[at].accounts})
            names = [Named(given.get(label, ""), False) for label in labels]
            # What this run named before stays out of it, but its names are not given again.
            free = [k if k.id not in given.values() else Known(k.id, frozenset(), frozenset(), k.born, k.parents) for k in known]
            for at, named in zip(todo, assign([found[at] for at in todo], free), strict=True):
                names[at] = named
                _put_down(db, number, found[at], labels[at], named)
            ties = db.execute("SELECT campaign, other FROM tie WHERE lineage ORDER BY other").fetchall()
        return [(n.id, tuple(dict.fromkeys(other for campaign, other in ties if campaign == n.id))) for n in names]

    def entries(self) -> list[Entry]:
        """All campaigns, those that were seen last first."""
        rows = self._db.read(
            "SELECT c.id, c.kind, r.at AS seen, s.accounts, s.calls, s.bits, s.first, s.last,"
            " (SELECT t.campaign FROM tie t WHERE t.other = c.id AND t.how = 'join' AND t.run > s.run ORDER BY t.run DESC LIMIT 1) AS joined,"
            " (SELECT d.action FROM decision d WHERE d.campaign = c.id ORDER BY d.id DESC LIMIT 1) AS decision"
            " FROM campaign c JOIN sighting s ON s.campaign = c.id AND s.run = (SELECT max(run) FROM sighting WHERE campaign = c.id)"
            " JOIN run r ON r.id = s.run ORDER BY s.run DESC, s.bits DESC, c.id"
        )
        return [Entry(*r) for r in rows]

    def find(self, begins: str) -> str:
        """The one campaign whose name begins so.  Raises CaseError where there is none or several."""
        names = [r["id"] for r in self._db.read("SELECT id FROM campaign WHERE substr(id, 1, ?) = ? ORDER BY id", len(begins), begins)]
        if len(names) != 1:
            several = f"more than one campaign of that name ({', '.join(names[:5])})"
            raise CaseError(f"{begins}: {several if names else 'no campaign of that name'} in {self.path}")
        return str(names[0])

    def history(self, campaign: str) -> list[Event]:
        """What became of a campaign, in the order of the runs; decisions at their time."""
        out: list[tuple[float, int, Event]] = []
        born = self._db.read("SELECT born FROM campaign WHERE id = ?", campaign)[0]["born"]
        for r in self._db.read("SELECT s.*, r.at FROM sighting s JOIN run r ON r.id = s.run WHERE s.campaign = ?", campaign):
            what = "found" if r["run"] == born else "seen"
            out.append((r["at"], r["run"] * 2, Event(r["at"], what, "", r["accounts"], r["calls"], r["bits"])))
        for r in self._db.read("SELECT t.*, r.at FROM tie t JOIN run r ON r.id = t.run WHERE ? IN (t.campaign, t.other)", campaign):
            mine = r["campaign"] == campaign
            what = r["how"] if mine else {"split": "parted", "join": "joined"}[r["how"]]
            out.append((r["at"], r["run"] * 2 + 1, Event(r["at"], what, r["other"] if mine else r["campaign"])))
        for number, d in enumerate(self.decisions(campaign)):
            out.append((d.at, (1 << 40) + number, Event(d.at, "decision", text=f"{d.action}, by {d.by}: {d.reason}")))
        return [e for *_, e in sorted(out, key=lambda o: o[:2])]

    def members(self, campaign: str) -> list[str]:
        """All accounts that a campaign ever had."""
        return [r["account"] for r in self._db.read("SELECT account FROM member WHERE campaign = ? ORDER BY account", campaign)]

    def decisions(self, campaign: str) -> list[Decision]:
        """What was decided about a campaign, in the order in which it was put down."""
        rows = self._db.read("SELECT action, by, reason, evidence, at FROM decision WHERE campaign = ? ORDER BY id", campaign)
        return [Decision(*r) for r in rows]

    def decide(self, campaign: str, decision: Decision) -> None:
        """Put down a decision; none is ever changed or deleted.

        Raises:
            CaseError: no such campaign or action, or nobody or no reason is named.
        """
        if decision.action not in ACTIONS:
            raise CaseError(f"{decision.action}: no action; one of {', '.join(ACTIONS)}")
        if not decision.by.strip() or not decision.reason.strip():
            raise CaseError("a decision names who took it and why")
        if not (decision.by + decision.reason).isprintable():
            raise CaseError("a decision's name and reason are one line of text")
        with self._db.write() as db:
            if db.execute("SELECT 1 FROM campaign WHERE id = ?", (campaign,)).fetchone() is None:
                raise CaseError(f"{campaign}: no campaign of that name in {self.path}")
            d = decision
            values = (campaign, d.action, d.by, d.reason, d.evidence, d.at)
            db.execute("INSERT INTO decision (campaign, action, by, reason, evidence, at) VALUES (?, ?, ?, ?, ?, ?)", values)


def _put_down(db: Connection, run: int, s: Sighting, label: str, named: Named) -> None:
    if named.new:
        db.execute("INSERT INTO campaign (id, kind, born) VALUES (?, ?, ?)", (named.id, s.kind, run))
    values = (run, named.id, label, len(s.accounts), s.calls, s.bits, s.first, s.last)
    db.execute("INSERT INTO sighting (run, campaign, label, accounts, calls, bits, first, last) VALUES (?, ?, ?, ?, ?, ?, ?, ?)", values)
    db.executemany(
        "INSERT INTO member (campaign, account, run) VALUES (?, ?, ?) ON CONFLICT DO UPDATE SET run = max(run, excluded.run)",
        [(named.id, a, run) for a in sorted(s.accounts)],
    )
    db.executemany("INSERT OR IGNORE INTO family (campaign, family) VALUES (?, ?)", [(named.id, f) for f in sorted(s.families)])
    ties = {(other, "join"): other in named.parents for other in named.joined}
    ties |= {(other, "split"): True for other in named.parents if other not in named.joined}
    rows = [(run, named.id, other, how, int(lineage)) for (other, how), lineage in sorted(ties.items())]
    db.executemany("INSERT INTO tie (run, campaign, other, how, lineage) VALUES (?, ?, ?, ?, ?)", rows)


def _known(db: Connection, accounts: Iterable[str]) -> list[Known]:
    """All campaigns; with accounts and families those that have one of ``accounts``, for no other can be tied to what has these."""
    db.execute("CREATE TEMP TABLE wanted (account TEXT PRIMARY KEY) WITHOUT ROWID")
    db.executemany("INSERT INTO wanted VALUES (?)", ((a,) for a in accounts))
    near = "WHERE campaign IN (SELECT m.campaign FROM member m JOIN wanted USING (account))"
    members, families, parents = (
        _grouped(db.execute(query))
        for query in (
            f"SELECT campaign, account FROM member {near}",  # noqa: S608 - no word of it comes from outside
            f"SELECT campaign, family FROM family {near}",  # noqa: S608
            "SELECT campaign, other FROM tie WHERE lineage",
        )
    )
    db.execute("DROP TABLE wanted")
    rows: list[Any] = db.execute("SELECT id, born FROM campaign").fetchall()
    return [Known(i, frozenset(members[i]), frozenset(families[i]), born, frozenset(parents[i])) for i, born in rows]


def _grouped(rows: Iterable[Any]) -> defaultdict[str, list[str]]:
    out: defaultdict[str, list[str]] = defaultdict(list)
    for campaign, value in rows:
        out[campaign].append(value)
    return out


def _labels(found: Sequence[Sighting]) -> list[str]:
    """What each is called within its run, whatever the order."""
    labels = [""] * len(found)
    seen: Counter[str] = Counter()
    for at in sorted(range(len(found)), key=lambda at: (sorted(found[at].accounts), sorted(found[at].families), found[at].first)):
        s = found[at]
        plain = fresh_id(s.kind, s.earliest, s.first)
        labels[at] = fresh_id(s.kind, s.earliest, s.first, seen[plain])
        seen[plain] += 1
    return labels


__all__ = ["NAME", "CaseError", "CaseFile", "DatabaseError", "Decision", "Entry", "Event", "Run"]
