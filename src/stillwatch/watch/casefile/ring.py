"""Campaigns of several accounts."""

from __future__ import annotations

from collections.abc import Sequence

import narwhals as nw
import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from stillwatch.records import Reason
from stillwatch.watch import campaign as cp
from stillwatch.watch.casefile.material import Found, Material, shares_of
from stillwatch.watch.link.steps import SENDERS, SENT_BY, Frame

_CLASS = {c.id: c for c in cp.LOCAL}


def rings(m: Material, found: Sequence[cp.Ring], bits: Sequence[float], threshold: float) -> list[Found]:
    """Build them; ``bits`` are of every group that was tested, for the q-values."""
    if not found:
        return []
    # A lead may be a piece of a group, so it stands beside what was tested: one test more.
    q = cp.q_values(np.array([*(r.lead.bits for r in found), *bits]))
    calls = [_calls(m, r) for r in found]
    stolen = m.victims([rows.column("call").to_numpy() for rows in calls])
    return [
        _ring(m, r, rows, s, float(p), (threshold, len(bits))) for r, rows, s, p in zip(found, calls, stolen, q[: len(found)], strict=True)
    ]


def _ring(m: Material, ring: cp.Ring, rows: pa.Table, stolen: str, q: float, test: tuple[float, int]) -> Found:
    lead = ring.lead
    shown = shares_of(m.texts(rows))
    reasons = tuple(
        Reason(f.id, round(f.bits, 2), f.text, _example(m.pop, rows, f) if f.bits > 0 else (), f.assessed, f.cap, f.question)
        for f in lead.findings
    )
    families = list(dict.fromkeys(s.group.family for s, _ in ring.parts if s.group.family is not None))
    return m.build(
        rows,
        "ring",
        lead.bits,
        q,
        reasons,
        _techniques(m, ring, rows, shown),
        ring.bits,
        families,
        _against(m, ring, stolen, shown),
        _until_found(m, lead, test[0]),
        test,
    )


def _wanted(ring: cp.Ring) -> pa.Table:
    """kind, family, client, system, tools, who: the streams of a ring's parts."""
    rows = []
    for s, members in ring.parts:
        g = s.group
        kind = (
            ("family" if g.client is None else "split")
            if g.family is not None
            else "harness"
            if len(g.key) >= 3
            else "pool"
            if g.picked is None
            else "picked"
        )
        client, system, tools = g.key[:3] if kind == "harness" else (g.client or 0, 0, 0)
        rows += [
            {
                "kind": kind,
                "family": g.family or 0,
                "client": client,
                "system": system,
                "tools": tools,
                "picked": -1 if g.picked is None else g.picked,
                "who": w,
            }
            for w in members
        ]
    schema = pa.schema([("kind", pa.string()), *((c, pa.int64()) for c in ("family", "client", "system", "tools", "picked", "who"))])
    return pa.Table.from_pylist(rows, schema=schema)


def _calls(m: Material, ring: cp.Ring) -> pa.Table:
    """call, call_id, who, at, client, family, text, order of the ring's calls, each once, in time order."""
    e = m.engine
    e.keep("wanted", _wanted(ring))
    want = e.table("wanted")

    def of(kind: str, source: Frame, keys: list[str]) -> Frame:
        return source.join(want.filter(nw.col("kind") == kind).select(*keys), on=keys, how="semi")

    f = m.family_calls.select("call", "family", "client", "who")
    none = nw.lit(0, dtype=nw.Int64)
    picked = nw.concat(
        [
            of("family", f, ["family", "who"]).select("call", "family"),
            of("split", f, ["family", "client", "who"]).select("call", "family"),
            of("harness", m.calls, ["client", "system", "tools", "who"]).select("call").with_columns(family=none),
            of("pool", m.calls, ["who"]).select("call").with_columns(family=none),
            of("picked", e.table("picked_calls").join(m.calls.select("call", "who"), on="call", how="inner"), ["picked", "who"])
            .select("call")
            .with_columns(family=none),
        ]
    )
    each = picked.group_by("call").agg(family=nw.col("family").max())
    rows = e.fetch(each.join(m.calls.select("call", "call_id", "who", "at", "client", "text", "order"), on="call", how="inner"))
    e.drop("wanted")
    return rows.sort_by([("at", "ascending"), ("call_id", "ascending")])


def _until_found(m: Material, lead: cp.Judged, threshold: float) -> int | None:
    g = lead.score.group
    if g.family is not None:
        key = {"family": g.family} | ({"client": g.client} if g.client is not None else {})
        source = m.family_calls
    else:
        key = dict(zip(("client", "system", "tools"), g.key[:3], strict=True)) if len(g.key) >= 3 else {}
        source = m.calls
        if g.picked is not None:
            source = source.join(m.engine.table("picked_calls").filter(nw.col("picked") == g.picked), on="call", how="semi")
    for column, value in key.items():
        source = source.filter(nw.col(column) == value)
    rows = m.engine.fetch(source.select("who", "owner", "at", "text")).sort_by([("at", "ascending"), ("who", "ascending")])
    rows = rows.filter(pa.array(np.isin(rows.column("who").to_numpy(), g.who)))
    who, text = rows.column("who").to_numpy(), rows.column("text").to_numpy()
    events = (who, rows.column("at").to_numpy(), _common(rows.column("owner").to_numpy(), text), _first(text), (text != 0).astype(np.int64))
    return cp.calls_until_found(m.pop, g, events, threshold, cp.MIN_TEXTS)


def _common(owner: NDArray[np.int64], text: NDArray[np.int64]) -> NDArray[np.int64]:
    """[calls] 1 where a fair share of the owners sent the text; the rule of ``link.streams``."""
    pairs = np.unique(np.stack([text, owner]), axis=1)
    texts, senders = np.unique(pairs[0], return_counts=True)
    many = (senders >= SENDERS) & (senders >= SENT_BY * len(np.unique(owner))) & (texts != 0)
    return np.isin(text, texts[many]).astype(np.int64)


def _first(text: NDArray[np.int64]) -> NDArray[np.int64]:
    """[calls] 1 at the first call with its text, 0 for calls without."""
    new = np.zeros(len(text), np.int64)
    new[np.unique(text, return_index=True)[1]] = 1
    new[text == 0] = 0
    return new


def _techniques(m: Material, ring: cp.Ring, rows: pa.Table, shown: dict[str, float] | None) -> dict[str, str]:
    pop, who = m.pop, np.array(sorted(ring.accounts))
    out = m.content(shown or {})
    lead = ring.lead.score
    for f in lead.findings:
        if f.id in _CLASS and f.bits >= cp.LEG:
            out.update(dict.fromkeys(_CLASS[f.id].techniques, "inferred"))
    programme = pop.programme.codes[who] >= 0
    if programme.mean() >= 0.5:
        out["D03"] = "inferred"
    if ring.lead.harvest.dealt and lead.weight("slices") >= 0:
        out["D06"] = "observed"
    if rows.num_rows < 0.9 * pop.calls[who].sum():
        out["D07"] = "observed"
    at, by = rows.column("at").to_numpy(), rows.column("who").to_numpy()
    span = np.array([np.ptp(at[by == w]) for w in who])
    if np.ptp(at) > 0 and np.median(span) < 0.4 * np.ptp(at):
        out["D10"] = "inferred"
    return out


def _example(pop: cp.Population, rows: pa.Table, f: cp.Finding) -> tuple[str, ...]:
    """Calls that show a reason: by accounts that share the trait, else any; one of each account."""
    who = rows.column("who").to_numpy()
    accounts, at = np.unique(who, return_inverse=True)
    shown = _CLASS[f.id].shown(pop, accounts) if f.id in _CLASS else np.ones(len(accounts), bool)
    pick = np.flatnonzero(shown[at])
    _, one_each = np.unique(who[pick], return_index=True)
    return tuple(rows.column("call_id")[int(i)].as_py() for i in pick[np.sort(one_each)[:6]])


def _against(m: Material, ring: cp.Ring, stolen: str, shown: dict[str, float] | None) -> tuple[str, ...]:
    lead = ring.lead.score
    out = [stolen] if stolen else []
    out += [f.text for f in ring.lead.findings if f.assessed and f.bits < 0]
    left = int((~lead.member).sum())
    if left:
        out.append(
            f"{left} further accounts sent calls of the same kind but share no traits with these; they are not part of the campaign."
        )
    if cp.unseparated(m.pop, np.array(sorted(ring.accounts))):
        out.append(
            "It falls into pieces that share no address and no card: they may be two operators with one tool, and could not be told apart."
        )
    if shown is not None and not any(shown.get(k, 0) >= 0.2 for k in ("D11", "D12", "D16", "D17", "D18")):
        out.append(
            "The sampled prompts show no words that ask for reasoning, judgements or training tasks: the purpose is not shown by content."
        )
    out.append("Holders of accounts in a shared pool may be customers of a reseller who know nothing of it.")
    return tuple(out)
