"""Worlds that tests share."""

from __future__ import annotations

from typing import Any, Final

from msgspec import structs

from stillwatch.range import small_world, spec

#: Honest programs with a few calls each: most tests need that they are there, and every call costs each run its time.
QUIET: Final[dict[str, Any]] = {
    "benchmark": spec.Benchmark(accounts=4, items=30), "judges": spec.Judges(vendors=2, calls=30), "agents": spec.Agents(accounts=2, calls=40),
    "optimisers": spec.Optimisers(accounts=1), "release": spec.Release(accounts=3, calls=15), "synthetic": spec.Synthetic(accounts=1, calls=40),
    "migration": spec.Migration(companies=1, calls=30),
}  # fmt: skip
#: Three people and none of the other honest populations, for what is measured on a crowd or ring alone.
NOBODY: Final[dict[str, Any]] = {
    "chat": spec.Chat(accounts=3), "batch": spec.Batch(companies=0, holdings=0), "benchmark": spec.Benchmark(accounts=0),
    "course": spec.Course(students=0), "hackathon": spec.Hackathon(people=0), "reseller": spec.Reseller(users=0), "judges": spec.Judges(vendors=0),
    "agents": spec.Agents(accounts=0), "optimisers": spec.Optimisers(accounts=0), "release": spec.Release(accounts=0),
    "synthetic": spec.Synthetic(accounts=0), "migration": spec.Migration(companies=0),
}  # fmt: skip


def few_customers() -> spec.WorldSpec:
    """The demo's world with its ring whole and few honest calls around it."""
    whole = small_world()
    few = {"chat": spec.Chat(accounts=150, most=40), "batch": spec.Batch(keys=3, calls=20), "reseller": spec.Reseller(users=20)}
    return structs.replace(whole, honest=structs.replace(whole.honest, **few, **QUIET))
