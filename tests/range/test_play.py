"""The game, with defences simple enough to foretell what must happen."""

from __future__ import annotations

import csv
import gzip
from pathlib import Path

import pytest

from stillwatch.range import SpecError, WorldSpec
from stillwatch.range.play import LADDER, Outcome, play
from stillwatch.range.plots import page
from stillwatch.range.prices import Prices
from stillwatch.range.ring import Ring
from stillwatch.range.spec import Batch, Chat, Honest, Play, Reseller

FEW = Honest(chat=Chat(accounts=15), batch=Batch(companies=1, keys=1, calls=5), reseller=Reseller(users=3))
SPEC = WorldSpec(name="small", days=8, honest=FEW, campaigns=(Ring(name="ring", accounts=10),), play=Play(budget=300, calls_per_day=5))


def oracle(day: Path) -> set[str]:
    """A defence that knows the truth."""
    return {r["account"] for r in csv.DictReader((day / "truth_accounts.csv").open()) if r["campaign"]}


def go(folder: Path, watch: object = oracle, spec: WorldSpec = SPEC) -> Outcome:
    return play(spec, seed=4, folder=folder, watch=watch)  # type: ignore[arg-type]


def test_without_a_defence_the_adversary_keeps_its_accounts(tmp_path: Path) -> None:
    free = go(tmp_path, None)
    assert [d.active for d in free.days] == [10] * 8
    assert free.harvested == 10 * 5 * 8
    assert free.stages[0].until_found is None
    assert not list(tmp_path.iterdir())
    prices = SPEC.prices
    ring = SPEC.campaigns[0]
    fixed = ring.pool * prices.address + 10 * (prices.card / 4 + 0.3 * prices.verified_account + 0.7 * prices.account)
    assert free.days[-1].spent == pytest.approx(fixed + 2 * free.harvested * prices.calls / 1000, rel=0.05)


def test_a_perfect_defence_drives_the_price_up_until_the_money_is_gone(tmp_path: Path) -> None:
    watched = go(tmp_path)
    assert watched.days[-1].spent <= SPEC.play.budget
    assert watched.days[-1].honest_touched == 0
    assert watched.stages[0].found_day == 1
    assert watched.stages[0].until_found == watched.days[0].harvested == 50
    assert [s.step for s in watched.stages] == sorted({s.step for s in watched.stages})
    assert watched.harvested < go(tmp_path / "free", None).harvested
    assert watched.per_1000_dollars < go(tmp_path / "free", None).per_1000_dollars / 3
    assert sum(s.harvested for s in watched.stages) == watched.harvested


def test_bans_come_after_the_delay_and_accounts_do_not_come_back(tmp_path: Path) -> None:
    go(tmp_path)
    seen: dict[str, list[int]] = {}
    for day in sorted(tmp_path.glob("day-*")):
        streams = csv.DictReader(gzip.open(day / "truth_calls.csv.gz", "rt"))
        for account in {r["account"] for r in streams if r["stream"] == "ring"}:
            seen.setdefault(account, []).append(int(day.name.removeprefix("day-")))
    # Found at the end of its first day, an account works one day more and is gone.
    assert all(len(days) <= 2 and days[-1] - days[0] <= 1 for days in seen.values())


def test_false_accusations_are_counted(tmp_path: Path) -> None:
    def everybody(day: Path) -> set[str]:
        return {r["account"] for r in csv.DictReader((day / "truth_accounts.csv").open())}

    assert go(tmp_path, everybody).days[-1].honest_touched > 15


def test_an_adversary_who_does_not_adapt_stays_on_the_first_step(tmp_path: Path) -> None:
    spec = WorldSpec(days=5, honest=FEW, campaigns=SPEC.campaigns, play=Play(budget=300, adapt=False))
    assert {d.step for d in go(tmp_path, oracle, spec).days} == {0}
    assert len(LADDER) == 6


def test_one_seed_one_game(tmp_path: Path) -> None:
    assert go(tmp_path / "a") == go(tmp_path / "b")


def test_the_page_holds_the_figures_and_escapes_names(tmp_path: Path) -> None:
    free, watched = go(tmp_path, None), go(tmp_path)
    html = page(free, watched)
    assert html.count("<polyline") == 7
    assert f"{free.per_1000_dollars:,.0f}" in html
    assert "http" not in html.replace("http-equiv", "")
    odd = Outcome("<b>", 1, True, watched.days, watched.stages)
    assert "<b>:" not in page(free, odd)


def test_a_game_needs_a_player(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match="needs a campaign"):
        go(tmp_path, None, WorldSpec(honest=FEW, campaigns=(), prices=Prices()))
