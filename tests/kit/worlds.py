"""Worlds that tests share."""

from __future__ import annotations

from msgspec import structs

from stillwatch.range import small_world
from stillwatch.range.spec import Batch, Chat, Reseller, WorldSpec


def few_customers() -> WorldSpec:
    """The demo's world with its ring whole and fewer honest calls around it: 5,700 instead of 13,800."""
    spec = small_world()
    return structs.replace(
        spec,
        honest=structs.replace(spec.honest, chat=Chat(accounts=150, most=40), batch=Batch(keys=3, calls=20), reseller=Reseller(users=20)),
    )
