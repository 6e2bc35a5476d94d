"""What every campaign of the case is built from: its calls, a look at a few texts, and the record that comes of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from stillwatch.records import ATTRIBUTED, Campaign, Reason, Segment, StreamRow
from stillwatch.store import Engine, Spool
from stillwatch.watch import campaign as cp
from stillwatch.watch import link
from stillwatch.watch.case import fresh_id, sender_of_first
from stillwatch.watch.evidence import skeleton
from stillwatch.watch.evidence.words import count
from stillwatch.watch.link.steps import Frame
from stillwatch.watch.sketch import RECIPE
from stillwatch.watch.sketch.content import marks

#: Prompts looked at per campaign and family, and of the rest of the log.
SAMPLE: Final = 40
BACKGROUND: Final = 400
SKELETONS: Final = 4


@dataclass(frozen=True, slots=True)
class Found:
    """A campaign and its rows of ``attributed_calls.parquet``."""

    campaign: Campaign
    calls: pa.Table


@dataclass(slots=True)
class Material:
    """What the run knows when the groups have been tested."""

    engine: Engine
    spool: Spool
    calls: Frame
    family_calls: Frame
    pop: cp.Population
    by_family: pa.Table
    show_text: bool
    _usual: dict[str, float] = field(default_factory=dict)

    def content(self, shown: dict[str, float]) -> dict[str, str]:
        """Techniques that the sampled prompts show, far above the log's usual share."""
        usual = self.background()
        return {k: "observed" for k, share in shown.items() if share >= 0.2 and share >= 3 * usual.get(k, 0.0)}

    def background(self) -> dict[str, float]:
        """Share of sampled prompts of the log with each mark."""
        if not self._usual:
            ids = self.engine.fetch(self.calls.select("call", "order")).sort_by("order").slice(0, BACKGROUND).column("call").to_pylist()
            self._usual = shares_of(list(self.spool.texts(ids).values())) or {"D11": 0.0}
        return self._usual

    def texts(self, rows: pa.Table) -> list[list[tuple[str, str]]]:
        """Sampled calls' texts."""
        found = self.first_texts([rows])
        return [found[i] for i in sampled(rows)]

    def first_texts(self, tables: list[pa.Table]) -> dict[int, list[tuple[str, str]]]:
        """Sampled calls' texts by call number, all read in one go."""
        return self.spool.texts(i for rows in tables for i in sampled(rows))

    def victims(self, groups: Sequence[NDArray[np.int64]]) -> list[str]:
        """For each group of calls (numbers) a sentence on the accounts whose calls in it come from elsewhere than the rest of their traffic, empty where there are none."""
        numbers = [np.full(len(calls), at, np.int64) for at, calls in enumerate(groups)]
        nothing = np.zeros(0, np.int64)
        mine = pa.table({"group": np.concatenate([nothing, *numbers]), "call": np.concatenate([nothing, *groups])})
        found = self.engine.fetch(link.elsewhere(self.calls, self.engine.keep("mine", mine))).column("group").to_numpy()
        self.engine.drop("mine")
        return [_stolen(n) for n in np.bincount(found, minlength=len(groups)).tolist()]

    def build(
        self,
        rows: pa.Table,
        kind: str,
        bits: float,
        q: float,
        reasons: tuple[Reason, ...],
        techniques: dict[str, str],
        account_bits: dict[int, float],
        families: Sequence[int],
        against: tuple[str, ...],
        until: int | None,
        test: tuple[float, int],
    ) -> Found:
        """The record of a campaign.

        Args:
            rows: call_id, account number (``who``), at, family, order of its calls, in time order.
            test: the threshold of its own kind of test in bits, and how many such tests there were.
        """
        pop = self.pop
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
        name = fresh_id(kind, sender_of_first(streams), float(at[0]))
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
            threshold_bits=round(test[0], 2),
            tested=test[1],
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
        pop = self.pop
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
        mine = rows.filter(pc.equal(rows.column("family"), family))
        texts = ["\n".join(t for _, t in segments) for segments in self.texts(mine)]
        return skeleton(texts, show_text=self.show_text)


def _stolen(accounts: int) -> str:
    if not accounts:
        return ""
    return (
        f"Of {count(accounts, 'account')} these calls share neither address nor client with the rest of the traffic: the keys may be stolen, and their "
        "holders victims."
    )


def sampled(rows: pa.Table) -> list[int]:
    """Call numbers of the calls whose texts are looked at, in an order that no line order changes."""
    ids: list[int] = rows.sort_by("order").slice(0, SAMPLE).column("call").to_pylist()
    return ids


def shares_of(texts: list[list[tuple[str, str]]]) -> dict[str, float] | None:
    """Share of prompts that show each mark, None where no text is known."""
    known = [segments for segments in texts if segments]
    tally = Counter(k for segments in known for k in marks(segments))
    return {k: n / len(known) for k, n in tally.items()} if known else None
