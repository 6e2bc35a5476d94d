"""Releases for the hub's tests."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime
from typing import Any

import stillwatch.share.release as door
from tests.share.release.test_door import CAMPAIGN

NOW = datetime(2026, 11, 24, 12, tzinfo=UTC).timestamp()
TODAY = date(2026, 11, 24)


def campaign_release(member: str, number: int = 0, *, today: date = TODAY, valid_days: int = 90, networks: int = 1) -> door.Release:
    """A campaign of a member; another number gives another one."""
    named = tuple(door.Network("proxy-pool", f"AS{64496 + 100 * number + i}") for i in range(networks))
    seen = replace(CAMPAIGN, first=1.70e9 + 86400 * (number % 300), accounts=10 ** (number // 300 % 8))
    draft = door.Draft(
        seen, grounds=door.grounds_of(seen), networks=named, ledger="lab", removed=door.scrubbed(seen), valid_days=valid_days
    )
    made = door.prepare(draft, door.Policy(member), today)
    assert isinstance(made, door.Release), made
    return made


def answer_release(member: str, of: str, kind: Any, value: str, *, today: date = TODAY) -> door.Release:
    """A sighting, opinion or retraction."""
    days = (date(2026, 11, 1), date(2026, 11, 20))
    made = door.prepare(door.Draft(of, ledger="lab"), door.Policy(member), today, answer=kind, value=value, days=days)
    assert isinstance(made, door.Release), made
    return made
