"""What costs an operator nothing to change must not hide his ring."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import msgspec
import pytest
from tests.kit import QUIET

from stillwatch.range import build_world, load_spec
from stillwatch.range.score import score_world
from stillwatch.range.spec import Chat
from stillwatch.watch.flow import Progress, Settings, detect

SPEC = Path(__file__).parents[2] / "specs" / "23-plain-and-organisations.toml"
SEED = 3
FREE: dict[str, dict[str, Any]] = {
    "wording": {"wording": "account"},
    "settings and user agent": {"settings": "call", "agents": "account"},
    "organisation and mail name": {"org": "typed", "firm": 3, "mail": "people"},
    "all of them": {"wording": "account", "settings": "call", "agents": "account", "org": "typed", "firm": 3, "mail": "people"},
}


def recall(folder: Path, **changes: object) -> float:
    """Share of the ring's accounts that one campaign holds, honest people none."""
    spec = load_spec(SPEC)
    few = msgspec.structs.replace(
        spec,
        honest=msgspec.structs.replace(spec.honest, chat=Chat(accounts=300, most=30), **QUIET),
        campaigns=tuple(msgspec.structs.replace(r, **changes) for r in spec.campaigns),
    )
    build_world(few, seed=SEED, out=folder)
    detect(Settings([str(folder / "calls.jsonl.gz")], folder / "found", folder / "accounts.csv"), Progress(), now=time.time())
    result = score_world(folder, folder / "found")
    assert sum(result.honest_flagged.values()) == 0
    (ring,) = result.campaigns
    return ring.account_recall if ring.found else 0.0


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> float:
    print(f"seed {SEED}")
    return recall(tmp_path_factory.mktemp("plain"))


@pytest.mark.slow
@pytest.mark.parametrize("field", FREE)
def test_a_free_field_changes_recall_by_a_tenth_at_most(field: str, plain: float, tmp_path: Path) -> None:
    assert plain >= 0.9
    assert abs(recall(tmp_path, **FREE[field]) - plain) <= 0.1
