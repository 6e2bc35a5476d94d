"""From passing groups to campaigns with all that a reader of the case needs: calls, streams, techniques, skeletons, what speaks against."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Final

import narwhals as nw
import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from stillwatch.records import ATTRIBUTED, Campaign, Reason, Segment, StreamRow
from stillwatch.store import Engine, Spool
from stillwatch.watch import campaign as cp
from stillwatch.watch.campaign.population import DAY, Population
from stillwatch.watch.evidence import skeleton
from stillwatch.watch.link.steps import Frame
from stillwatch.watch.sketch import RECIPE
from stillwatch.watch.sketch.content import marks

#: Prompts looked at per campaign and family, and of the rest of the log.
SAMPLE: Final = 40
BACKGROUND: Final = 400
SKELETONS: Final = 4
_PLAIN: Final = {
    "payment": "the same cards pay for accounts that claim to be unrelated",
    "mail": "their mail addresses follow one pattern",
    "registration": "they signed up together or just before use",
    "network": "they call from one pool of addresses",
    "quota": "they do equal shares of work",
    "partners": "suspicions at other labs share their traits",
}


@dataclass(frozen=True, slots=True)
class Material:
    """What the run knows when the groups have been tested."""

    engine: Engine
    spool: Spool
    calls: Frame
    family_calls: Frame
    pop: Population
    by_family: pa.Table
    show_text: bool


@dataclass(frozen=True, slots=True)
class Found:
    """A campaign and its rows of ``attributed_calls.parquet``."""

    campaign: Campaign
    calls: pa.Table


@dataclass(slots=True)
class Builder:
    """Builds the campaigns of one run.

    ``tested`` has the bits of every group that was tested, ``passing`` by their place in it those that could pass.
    """

    m: Material
    tested: list[float]
    passing: dict[int, cp.Score]
    threshold: float
    max_false_alarms: float
    lone_tested: int = 0
    _usual: dict[str, float] = field(default_factory=dict)

    def rings(self, rings: list[cp.Ring]) -> list[Found]:
        """Campaigns of several accounts."""
        place = {id(s): at for at, s in self.passing.items()}
        bits = list(self.tested)
        for ring in rings:
            if id(ring.lead) not in place:  # a piece of a group that was taken apart is one test more
                place[id(ring.lead)] = len(bits)
                bits.append(ring.lead.bits)
        q = cp.q_values(np.array(bits))
        found = []
        for ring in rings:
            rows = self._ring_calls(ring)
            lead = ring.lead
            texts = self._texts(rows)
            shown = _shares(texts)
            techniques = self._ring_techniques(ring, rows, shown)
            reasons = tuple(
                Reason(f.id, round(f.bits, 2), f.text, self._example(rows, f) if f.bits > 0 else (), f.assessed) for f in lead.findings
            )
            until = self._until_found(lead)
            families = list(dict.fromkeys(s.group.family for s, _ in ring.parts if s.group.family is not None))
            found.append(
                self._build(
                    rows,
                    "ring",
                    lead.bits,
                    float(q[place[id(lead)]]),
                    reasons,
                    techniques,
                    ring.bits,
                    families,
                    self._against(lead, shown),
                    until,
                )
            )
        return found

    def _ring_calls(self, ring: cp.Ring) -> pa.Table:
        """call, call_id, who, at, client, family of the ring's calls, each once, in time order."""
        e = self.m.engine
        wanted = {"family": [], "client": [], "system": [], "tools": [], "who": [], "kind": []}  # type: dict[str, list[int]]
        for s, members in ring.parts:
            g = s.group
            for who in members:
                system, tools = (g.key[1], g.key[2]) if g.family is None else (0, 0)
                for name, value in zip(wanted, (g.family or 0, g.client or 0, system, tools, who, 0), strict=True):
                    wanted[name].append(value)
                wanted["kind"][-1] = 2 if g.family is None else 1 if g.client is not None else 0
        table = pa.table({k: pa.array(v, pa.int64()) for k, v in wanted.items()})
        name = f"wanted_{ring.lead.group.key[0] & 0xFFFFFFFF:x}_{min(ring.accounts)}"
        want = e.keep(name, table)
        whole, split, harness = (want.filter(nw.col("kind") == k) for k in (0, 1, 2))
        f = self.m.family_calls.select("call", "family", "client", "who")
        a = f.join(whole.select("family", "who"), on=["family", "who"], how="semi")
        b = f.join(split.select("family", "client", "who"), on=["family", "client", "who"], how="semi")
        c = self.m.calls.join(harness.select("client", "system", "tools", "who"), on=["client", "system", "tools", "who"], how="semi")
        picked = nw.concat(
            [a.select("call", "family"), b.select("call", "family"), c.select("call").with_columns(family=nw.lit(0, dtype=nw.Int64))]
        )
        each = picked.group_by("call").agg(family=nw.col("family").max())
        rows = e.fetch(each.join(self.m.calls.select("call", "call_id", "who", "at", "client", "text", "order"), on="call", how="inner"))
        e.drop(name)
        return rows.sort_by([("at", "ascending"), ("call_id", "ascending")])

    def _until_found(self, lead: cp.Score) -> int | None:
        g = lead.group
        if g.family is None:
            key = dict(zip(("client", "system", "tools"), g.key[:3], strict=True))
            source = self.m.calls
        else:
            key = {"family": g.family} | ({"client": g.client} if g.client is not None else {})
            source = self.m.family_calls
        for column, value in key.items():
            source = source.filter(nw.col(column) == value)
        rows = self.m.engine.fetch(source.select("who", "owner", "at", "text")).sort_by([("at", "ascending"), ("who", "ascending")])
        rows = rows.filter(pa.array(np.isin(rows.column("who").to_numpy(), g.who)))
        owner, text = rows.column("owner").to_numpy(), rows.column("text").to_numpy()
        first_owner: dict[int, int] = {}
        repeated = np.array([first_owner.setdefault(t, o) != o for t, o in zip(text.tolist(), owner.tolist(), strict=True)], np.int64)
        return cp.calls_until_found(self.m.pop, g, (rows.column("who").to_numpy(), rows.column("at").to_numpy(), repeated), self.threshold)

    def _ring_techniques(self, ring: cp.Ring, rows: pa.Table, shown: dict[str, float]) -> dict[str, str]:
        pop, who = self.m.pop, np.array(sorted(ring.accounts))
        bits = {f.id: f.bits for f in ring.lead.findings}
        out = self._content(shown)
        if max(bits["payment"], bits["mail"], bits["registration"]) >= 3:
            out["D01"] = "inferred"
        programme = pop.programme.codes[who] >= 0
        if programme.mean() >= 0.5:
            out["D03"] = "inferred"
        if bits["network"] >= 3:
            out["D04"] = "inferred"
        if bits["slices"] > 0:
            out["D06"] = "observed"
        if rows.num_rows < 0.9 * pop.calls[who].sum():
            out["D07"] = "observed"
        at, by = rows.column("at").to_numpy(), rows.column("who").to_numpy()
        span = np.array([np.ptp(at[by == w]) for w in who])
        if np.ptp(at) > 0 and np.median(span) < 0.4 * np.ptp(at):
            out["D10"] = "inferred"
        return out

    def _content(self, shown: dict[str, float]) -> dict[str, str]:
        usual = self._background()
        return {k: "observed" for k, share in shown.items() if share >= 0.2 and share >= 3 * usual.get(k, 0.0)}

    def _background(self) -> dict[str, float]:
        """Share of sampled prompts of the log with each mark."""
        if not self._usual:
            ids = self.m.engine.fetch(self.m.calls.select("call", "order")).sort_by("order").slice(0, BACKGROUND).column("call").to_pylist()
            self._usual = _shares(list(self.m.spool.texts(ids).values())) or {"D11": 0.0}
        return self._usual

    def _texts(self, rows: pa.Table) -> list[list[tuple[str, str]]]:
        found = self._first_texts([rows])
        return [found[i] for i in _sampled(rows)]

    def _first_texts(self, tables: list[pa.Table]) -> dict[int, list[tuple[str, str]]]:
        """Sampled calls' texts by call number, all read in one go."""
        return self.m.spool.texts(i for rows in tables for i in _sampled(rows))

    def _example(self, rows: pa.Table, f: cp.Finding) -> tuple[str, ...]:
        """Calls that show a reason: by accounts that share the trait, else any."""
        pop = self.m.pop
        trait = {"payment": pop.payment, "mail": pop.mail_shape, "registration": pop.signup_day}.get(f.id)
        who = rows.column("who").to_numpy()
        pick = np.ones(len(who), bool)
        if trait is not None:
            codes = trait.codes[np.unique(who)]
            if (codes >= 0).any():
                pick = trait.codes[who] == np.bincount(codes[codes >= 0]).argmax()
        elif f.id == "network":
            accounts = np.unique(who)
            at, codes = pop.addresses(accounts)
            if len(codes):
                pick = np.isin(who, accounts[at[codes == np.bincount(codes).argmax()]])
        ids = np.array(rows.column("call_id").to_pylist())[pick]
        _, one_each = np.unique(who[pick], return_index=True)
        return tuple(ids[np.sort(one_each)[:6]].tolist())

    def _against(self, lead: cp.Score, shown: dict[str, float]) -> tuple[str, ...]:
        out = [f.text for f in lead.findings if f.assessed and f.bits < 0]
        out += [f.text for f in lead.findings if not f.assessed]
        if lead.relation:
            out.append(f"The accounts may be {lead.relation}.")
        left = int((~lead.member).sum())
        if left:
            out.append(
                f"{left} further accounts sent calls of the same kind but share no traits with these; they are not part of the campaign."
            )
        if not any(shown.get(k, 0) >= 0.2 for k in ("D11", "D12", "D16", "D17", "D18")):
            out.append(
                "The sampled prompts show no words that ask for reasoning, judgements or training tasks: the purpose is not shown by content."
            )
        out.append("Holders of accounts in a shared pool may be customers of a reseller who know nothing of it.")
        return tuple(out)

    def lone(self, rings: list[cp.Ring]) -> list[Found]:
        """Campaigns of one account each."""
        pop, e = self.m.pop, self.m.engine
        ringed = set().union(*(r.accounts for r in rings)) if rings else set()
        merged = self.m.by_family.group_by(["family", "who"]).aggregate([("calls", "sum"), ("texts", "sum")])
        streams = [
            cp.Lone(r["who"], r["family"], r["calls_sum"], r["texts_sum"])
            for r in merged.to_pylist()
            if r["calls_sum"] >= cp.MIN_CALLS_ALONE
        ]
        todo = cp.candidates(streams, pop, ringed)
        self.lone_tested = len(todo)
        if not todo:
            return []
        threshold = cp.threshold_bits(len(todo), self.max_false_alarms)
        early = self._early()
        usual = self._usual_accounts(ringed | {s.who for s in todo})
        asked = e.keep("lone_streams", pa.table({"family": [s.family for s in todo], "who": [s.who for s in todo]}))
        mine = self.m.family_calls.join(asked, on=["family", "who"], how="semi").select("call", "family", "who")
        columns = self.m.calls.select("call", "call_id", "at", "client", "text", "order")
        everything = e.fetch(mine.join(columns, on="call", how="inner"))
        e.drop("lone_streams")
        everything = everything.sort_by([(c, "ascending") for c in ("family", "who", "at", "call_id")])
        keys = np.stack([everything.column("family").to_numpy(), everything.column("who").to_numpy()])
        starts = np.flatnonzero(np.r_[True, (keys[:, 1:] != keys[:, :-1]).any(axis=0), True])
        rows_of = {(int(keys[0, i]), int(keys[1, i])): everything.slice(i, j - i) for i, j in pairwise(starts.tolist())}
        texts = self._first_texts(list(rows_of.values()))
        results = []
        for s in todo:
            rows = rows_of[s.family, s.who]
            shown = _shares([texts[i] for i in _sampled(rows)])
            results.append((s, rows, shown, cp.assess(s, pop, ringed, early, shown, usual)))
        bits = np.array([sum(f.bits for f in findings) for *_, findings in results])
        q = cp.q_values(bits)
        found = []
        for (s, rows, shown, findings), b, qv in zip(results, bits, q, strict=True):
            if b < threshold or next(f for f in findings if f.id == "content").bits < 3:
                continue
            ids = tuple(rows.column("call_id").to_pylist()[:6])
            reasons = tuple(Reason(f.id, round(f.bits, 2), f.text, ids if f.bits > 0 else (), f.assessed) for f in findings)
            against = [f.text for f in findings if f.bits < 0 or not f.assessed]
            against.append(
                "One account alone: no other account ties it to an operator, so the evidence is of another kind and weaker than a ring's."
            )
            found.append(
                self._build(
                    rows, "single", float(b), float(qv), reasons, self._content(shown), {s.who: float(b)}, [s.family], tuple(against), None
                )
            )
        return found

    def _early(self) -> NDArray[np.int64]:
        """[accounts] calls within two days of creation, or of the first call where the log begins later or creation is unknown."""
        pop = self.m.pop
        start = np.where(np.isnan(pop.created), pop.first, pop.created)
        bounds = self.m.engine.keep("bounds", pa.table({"who": np.arange(len(start)), "until": start + 2 * DAY}))
        joined = self.m.calls.select("who", "at").join(bounds, on="who", how="inner").filter(nw.col("at") <= nw.col("until"))
        rows = self.m.engine.fetch(joined.group_by("who").agg(n=nw.len()))
        self.m.engine.drop("bounds")
        out = np.zeros(len(start), np.int64)
        out[rows.column("who").to_numpy()] = rows.column("n").to_numpy()
        return out

    def _usual_accounts(self, without: set[int]) -> dict[str, float]:
        """Share of accounts whose one sampled prompt shows each mark."""
        one = self.m.engine.fetch(self.m.calls.group_by("who").agg(order=nw.col("order").min()))
        keep = [(o, w) for w, o in zip(one.column("who").to_pylist(), one.column("order").to_pylist(), strict=True) if w not in without]
        orders = pa.table({"order": pa.array([o for o, _ in sorted(keep)[:1000]], pa.int64())})
        kept = self.m.engine.keep("sampled_orders", orders)
        ids = self.m.engine.fetch(self.m.calls.select("call", "order").join(kept, on="order", how="semi")).column("call").to_pylist()
        self.m.engine.drop("sampled_orders")
        return _shares(list(self.m.spool.texts(ids).values()))

    def _build(
        self,
        rows: pa.Table,
        kind: str,
        bits: float,
        q: float,
        reasons: tuple[Reason, ...],
        techniques: dict[str, str],
        account_bits: dict[int, float],
        families: list[int],
        against: tuple[str, ...],
        until: int | None,
    ) -> Found:
        pop = self.m.pop
        at, who = rows.column("at").to_numpy(), rows.column("who").to_numpy()
        accounts, where, counts = np.unique(who, return_inverse=True, return_counts=True)
        first, last = np.full(len(accounts), np.inf), np.full(len(accounts), -np.inf)
        np.minimum.at(first, where, at)
        np.maximum.at(last, where, at)
        streams = tuple(
            StreamRow(pop.accounts[w], int(pop.calls[w]), int(n), float(f), float(t), round(account_bits.get(w, 0.0), 2), self._traits(w))
            for w, n, f, t in zip(accounts.tolist(), counts, first, last, strict=True)
        )
        order = sorted(families, key=lambda f: -int((rows.column("family").to_numpy() == f).sum()))[:SKELETONS]
        width = max(3600.0, float(np.ceil((at[-1] - at[0]) / 48 / 3600) * 3600))
        start = np.floor(at[0] / 3600) * 3600
        bins = np.bincount(((at - start) // width).astype(np.int64))
        # Named by its calls, so that the same log in any order gives the same id.
        name = f"c-{abs(int(np.bitwise_xor.reduce(rows.column('order').to_numpy()))) & 0xFFFFFFFFFF:010x}"
        found = Campaign(
            id=name,
            kind=kind,
            bits=round(bits, 2),
            p=float(min(1.0, 2.0**-bits)),
            q=q,
            first=float(at[0]),
            last=float(at[-1]),
            calls=len(at),
            accounts=len(accounts),
            techniques=tuple(sorted(techniques.items())),
            reasons=reasons,
            against=against,
            streams=streams,
            timeline=tuple((float(start + i * width), int(n)) for i, n in enumerate(bins)),
            bin_seconds=width,
            skeletons=tuple(s for s in (self._skeleton(rows, f) for f in order) if s),
            families=tuple(f"{RECIPE}:{f & (2**64 - 1):016x}" for f in order),
            calls_until_found=until,
        )
        table = pa.table(
            [
                rows.column("call_id"),
                pa.array([pop.accounts[w] for w in who.tolist()]),
                pa.array([name] * len(at)),
                pa.array([account_bits.get(w, 0.0) for w in who.tolist()], pa.float64()),
            ],
            schema=ATTRIBUTED,
        )
        return Found(found, table)

    def _traits(self, who: int) -> dict[str, str]:
        pop = self.m.pop
        traits = (
            ("card", pop.payment),
            ("mail domain", pop.mail_domain),
            ("mail pattern", pop.mail_shape),
            ("sign-up day", pop.signup_day),
            ("age", pop.age),
        )
        out = {name: t.labels[t.codes[who]][:24] for name, t in traits if t.codes[who] >= 0}
        _, codes = pop.addresses(np.array([who]))
        if len(codes):
            best = codes[np.argmax(pop.address_counts[codes])]
            out["address"] = pop.address_labels[best][:12]
        return out

    def _skeleton(self, rows: pa.Table, family: int) -> tuple[Segment, ...]:
        mine = rows.filter(pa.compute.equal(rows.column("family"), family))
        texts = ["\n".join(t for _, t in segments) for segments in self._texts(mine)]
        return skeleton(texts, show_text=self.m.show_text)


def _sampled(rows: pa.Table) -> list[int]:
    """Call numbers of the calls whose texts are looked at, in an order that no line order changes."""
    ids: list[int] = rows.sort_by("order").slice(0, SAMPLE).column("call").to_pylist()
    return ids


def _shares(texts: list[list[tuple[str, str]]]) -> dict[str, float]:
    """Share of prompts that show each mark."""
    tally = Counter(k for segments in texts for k in marks(segments))
    return {k: n / len(texts) for k, n in tally.items()}
