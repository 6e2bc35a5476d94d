"""Worlds that the demo, the benchmarks and the story are made of."""

from __future__ import annotations

import msgspec

from stillwatch.range.ring import Ring
from stillwatch.range.spec import (
    Agents,
    Batch,
    Benchmark,
    Chat,
    Course,
    Hackathon,
    Honest,
    Judges,
    Migration,
    Multihoming,
    Optimisers,
    Release,
    Reseller,
    Synthetic,
    WorldSpec,
)  # fmt: skip


def small_world() -> WorldSpec:
    """The demo's world: about 12,500 calls."""
    return WorldSpec()


def scaled_world(calls: int) -> WorldSpec:
    """A world of about ``calls`` calls in the small world's mix."""
    f = calls / 12_500
    return WorldSpec(
        name="scaled",
        honest=Honest(
            chat=Chat(accounts=round(500 * f)),
            batch=Batch(companies=max(1, round(3 * f)), holdings=max(1, round(f))),
            benchmark=Benchmark(accounts=max(2, round(6 * f))),
            course=Course(students=max(5, round(40 * min(f, 5)))),
            hackathon=Hackathon(people=max(5, round(25 * min(f, 5)))),
            reseller=Reseller(users=round(200 * f)),
            judges=Judges(vendors=max(1, round(4 * f))),
            agents=Agents(accounts=max(1, round(6 * f))),
            optimisers=Optimisers(accounts=max(1, round(3 * f))),
            release=Release(accounts=max(1, round(8 * f))),
            synthetic=Synthetic(accounts=max(1, round(3 * f))),
            migration=Migration(companies=max(1, round(2 * f))),
        ),
        campaigns=(Ring(name="hydra", accounts=max(3, round(30 * f)), pool=max(6, round(60 * f))),),
    )


def allied_world(labs: int, customers: int = 1500) -> WorldSpec:
    """Rings of 8 and 15 quiet accounts at each of ``labs`` labs, whose cards are shared between labs and never within one; honest customers of several labs."""
    quiet = Ring(name="quiet", accounts_per_card=labs, mail="people", addresses_per_account=2, age_days=200.0, verified=0.5)
    few = {
        "name": "thin-a",
        "accounts": 8 * labs,
        "calls": 12.0,
        "camouflage": 1.0,
        "pool": 133 * labs,
        "techniques": {"D11": 1.0},
        "variants": 2,
    }
    more = {
        "name": "thin-b",
        "accounts": 15 * labs,
        "calls": 8.0,
        "camouflage": 2.0,
        "pool": 200 * labs,
        "techniques": {"D18": 1.0},
        "variants": 3,
    }
    rings = (msgspec.structs.replace(quiet, **few), msgspec.structs.replace(quiet, **more, languages=2))
    honest = Honest(chat=Chat(accounts=customers), multihoming=Multihoming(companies=25, resellers=3, people=60))
    return WorldSpec(name="thin-rings", labs=labs, honest=honest, campaigns=rings)
