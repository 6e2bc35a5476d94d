"""Campaigns of one account each."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from itertools import pairwise

import narwhals as nw
import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from stillwatch.records import Reason
from stillwatch.watch import campaign as cp
from stillwatch.watch.campaign import DAY
from stillwatch.watch.casefile.material import Found, Material, sampled, shares_of


def lone(m: Material, streams: Sequence[cp.Lone], ringed: Collection[int], threshold: float) -> list[Found]:
    """The streams that are enough by themselves; ``ringed`` are accounts that campaigns have."""
    pop, e = m.pop, m.engine
    ringed = set(ringed)
    todo = [s for s in streams if s.who not in ringed]
    if not todo:
        return []
    early = _early(m)
    usual = _usual(m, ringed | {s.who for s in todo})
    asked = e.keep("lone_streams", pa.table({"family": [s.family for s in todo], "who": [s.who for s in todo]}))
    mine = m.family_calls.join(asked, on=["family", "who"], how="semi").select("call", "family", "who")
    columns = m.calls.select("call", "call_id", "at", "client", "text", "order")
    everything = e.fetch(mine.join(columns, on="call", how="inner"))
    e.drop("lone_streams")
    everything = everything.sort_by([(c, "ascending") for c in ("family", "who", "at", "call_id")])
    keys = np.stack([everything.column("family").to_numpy(), everything.column("who").to_numpy()])
    starts = np.flatnonzero(np.r_[True, (keys[:, 1:] != keys[:, :-1]).any(axis=0), True])
    rows_of = {(int(keys[0, i]), int(keys[1, i])): everything.slice(i, j - i) for i, j in pairwise(starts.tolist())}
    texts = m.first_texts(list(rows_of.values()))
    results = []
    for s in todo:
        rows = rows_of[s.family, s.who]
        shown = shares_of([texts[i] for i in sampled(rows)]) or {}
        results.append((s, rows, shown, cp.assess(s, pop, ringed, early, shown, usual)))
    bits = np.array([sum(f.bits for f in findings) for *_, findings in results])
    q = cp.q_values(bits)
    found = []
    for (s, rows, shown, findings), b, qv in zip(results, bits, q, strict=True):
        if b < threshold or next(f for f in findings if f.id == "content").bits < 3:
            continue
        ids = tuple(rows.column("call_id").to_pylist()[:6])
        reasons = tuple(Reason(f.id, round(f.bits, 2), f.text, ids if f.bits > 0 else (), f.assessed) for f in findings)
        against = [f.text for f in findings if f.assessed and f.bits < 0]
        against.append(
            "One account alone: no other account ties it to an operator, so the evidence is of another kind and weaker than a ring's."
        )
        found.append(
            m.build(
                rows,
                "single",
                float(b),
                float(qv),
                reasons,
                m.content(shown),
                {s.who: float(b)},
                [s.family],
                tuple(against),
                None,
                (threshold, len(streams)),
            )
        )
    return found


def _early(m: Material) -> NDArray[np.int64]:
    """[accounts] calls within two days of creation, or of the first call where the log begins later or creation is unknown."""
    pop = m.pop
    start = np.where(np.isnan(pop.created), pop.first, pop.created)
    bounds = m.engine.keep("bounds", pa.table({"who": np.arange(len(start)), "until": start + 2 * DAY}))
    joined = m.calls.select("who", "at").join(bounds, on="who", how="inner").filter(nw.col("at") <= nw.col("until"))
    rows = m.engine.fetch(joined.group_by("who").agg(n=nw.len()))
    m.engine.drop("bounds")
    out = np.zeros(len(start), np.int64)
    out[rows.column("who").to_numpy()] = rows.column("n").to_numpy()
    return out


def _usual(m: Material, without: set[int]) -> dict[str, float]:
    """Share of accounts whose one sampled prompt shows each mark."""
    one = m.engine.fetch(m.calls.group_by("who").agg(order=nw.col("order").min()))
    keep = [(o, w) for w, o in zip(one.column("who").to_pylist(), one.column("order").to_pylist(), strict=True) if w not in without]
    orders = pa.table({"order": pa.array([o for o, _ in sorted(keep)[:1000]], pa.int64())})
    kept = m.engine.keep("sampled_orders", orders)
    ids = m.engine.fetch(m.calls.select("call", "order").join(kept, on="order", how="semi")).column("call").to_pylist()
    m.engine.drop("sampled_orders")
    return shares_of(list(m.spool.texts(ids).values())) or {}
