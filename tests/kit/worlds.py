"""Worlds that tests share."""

from __future__ import annotations

from typing import Any, Final

from msgspec import structs

from stillwatch.range import small_world
from stillwatch.range.spec import Agents, Batch, Benchmark, Chat, Judges, Migration, Optimisers, Release, Reseller, Synthetic, WorldSpec

#: Honest programs with a few calls each: most tests need that they are there, and every call costs each run its time.
QUIET: Final[dict[str, Any]] = {
    "benchmark": Benchmark(accounts=4, items=30), "judges": Judges(vendors=2, calls=30), "agents": Agents(accounts=2, calls=40),
    "optimisers": Optimisers(accounts=1), "release": Release(accounts=3, calls=15), "synthetic": Synthetic(accounts=1, calls=40),
    "migration": Migration(companies=1, calls=30),
}  # fmt: skip


def few_customers() -> WorldSpec:
    """The demo's world with its ring whole and few honest calls around it."""
    spec = small_world()
    return structs.replace(
        spec,
        honest=structs.replace(
            spec.honest, chat=Chat(accounts=150, most=40), batch=Batch(keys=3, calls=20), reseller=Reseller(users=20), **QUIET
        ),
    )
