"""Third stage: groups of streams, each tested for one hand behind them."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import chain

import narwhals as nw
import pyarrow as pa

from stillwatch.watch import campaign, link
from stillwatch.watch.detect.settle import HARNESS, People
from stillwatch.watch.link.steps import Frame


@dataclass(slots=True)
class Tested:
    """What the tests gave.  ``bits`` are of every group, ``passing`` the groups that can pass by their place in it, ``thin`` those too weak or small to."""

    people: People
    family_calls: Frame
    by_family: pa.Table
    threshold: float
    bits: list[float] = field(default_factory=list)
    passing: dict[int, campaign.Score] = field(default_factory=dict)
    thin: list[campaign.Score] = field(default_factory=list)
    rings: list[campaign.Ring] = field(default_factory=list)


def test(people: People, *, thin: bool = False) -> Tested:
    """Form groups by family, by client and by address pool, score them, and join what passes.

    Args:
        thin: keep groups of few accounts that pass or are suspicious.
    """
    read, pop, calls = people.read, people.pop, people.calls
    engine = read.engine
    read.progress.enter("families")
    prints = engine.keep("prints", link.print_calls(calls))
    recurring = engine.keep("recurring", link.recurring(prints))
    families = engine.keep("families", link.group_prints(engine.fetch(link.sampled(prints, recurring))))
    of = engine.keep("call_families", link.call_families(prints, families))
    engine.drop("prints")

    read.progress.enter("streams")
    large = link.family_spread(calls, of).filter(
        ((nw.col("owners") >= 3) & (nw.col("calls") >= 8)) | (nw.col("calls") >= campaign.MIN_CALLS_ALONE)
    )
    in_family = engine.keep("family_calls", link.family_calls(calls, of, engine.keep("large", large)))
    by_family = engine.fetch(link.streams(in_family, ["family"]))

    read.progress.enter("test groups")
    alarms = read.settings.max_false_alarms
    least = campaign.threshold_bits(1, alarms)
    few = max(40, len(pop.accounts) // 50)  # a larger group is no thin ring but a part of the population
    tested = Tested(people, in_family, by_family, least)
    for group in chain(
        campaign.groups(by_family, ["family"], pop, by_client=True),
        campaign.groups(people.by_harness, HARNESS, pop, by_client=False),
        campaign.pool_groups(people.by_harness, HARNESS, pop),
    ):
        scored = campaign.score(pop, group, least)
        # There may be a million groups; only those that can still pass are kept whole.
        if scored.passes(least):
            tested.passing[len(tested.bits)] = scored
        if thin and len(group.who) <= few and (scored.passes(least) or scored.suspicious()):
            tested.thin.append(scored)
        tested.bits.append(scored.bits)
    tested.threshold = campaign.threshold_bits(len(tested.bits), alarms)
    tested.rings = campaign.rings(pop, list(tested.passing.values()), tested.threshold)
    return tested
