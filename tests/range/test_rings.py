"""Careful rings: every option does what it says, and nothing else is shared."""

from __future__ import annotations

import csv
import gzip
import json
from collections import Counter, defaultdict
from pathlib import Path
from statistics import stdev
from typing import Any

import pytest
from tests.kit import NOBODY

from stillwatch.range import SpecError, WorldSpec, build_world, load_spec
from stillwatch.range.crowds import Crowd
from stillwatch.range.ring import Ring
from stillwatch.range.spec import Honest
from stillwatch.range.subjects import SUBJECTS

OWN: dict[str, Any] = {"accounts_per_card": 1, "mail": "people", "pool_kind": "own", "techniques": {"D11": 1.0}}


class Harvest:
    """A built world: the ring's calls by account and stream, and its sign-up records."""

    def __init__(self, folder: Path, crowds: tuple[Crowd, ...] = (), days: float = 14, **ring: Any) -> None:
        spec = WorldSpec(
            answers=True,
            days=days,
            campaigns=(Ring(**{"name": "ring", "accounts": 12, "calls": 15, **ring}),),
            honest=Honest(crowds=crowds, **NOBODY),
        )
        build_world(spec, seed=2, out=folder, processes=1)
        self.streams = {r["id"]: r["stream"] for r in csv.DictReader(gzip.open(folder / "truth_calls.csv.gz", "rt"))}
        self.every = [json.loads(line) for line in gzip.open(folder / "calls.jsonl.gz")]
        ours = {r["account"] for r in csv.DictReader((folder / "truth_accounts.csv").open()) if r["campaign"]}
        self.records = {r["account"]: r for r in csv.DictReader((folder / "accounts.csv").open()) if r["account"] in ours}
        self.by: dict[str, list[dict[str, Any]]] = defaultdict(list)
        self.ordinary: list[dict[str, Any]] = []
        for c in self.every:
            if self.streams[c["id"]] == "ring":
                self.by[c["metadata"]["user_api_key_user_id"]].append(c)
            elif self.streams[c["id"]] == "camouflage:ring":
                self.ordinary.append(c)
        self.calls = [c for calls in self.by.values() for c in calls]

    def own(self, field: str) -> list[str]:
        return [r[field] for r in self.records.values()]

    def each(self, what: Any) -> list[set[Any]]:
        return [{what(c) for c in calls} for calls in self.by.values()]


def last(call: dict[str, Any]) -> str:
    return str(call["messages"][-1]["content"])


def said(call: dict[str, Any]) -> str:
    return str(call["response"]["choices"][0]["message"]["content"])


def apart(sets: list[set[Any]]) -> bool:
    return sum(map(len, sets)) == len(set().union(*sets))


def words(text: str, n: int) -> set[tuple[str, ...]]:
    some = text.split()
    return {tuple(some[i : i + n]) for i in range(len(some) - n + 1)}


def test_a_ring_with_its_own_of_everything_shares_nothing(tmp_path: Path) -> None:
    w = Harvest(tmp_path, **OWN, wording="account", settings="account", agents="account", rhythm="waking")
    assert apart(w.each(lambda c: c["requester_ip_address"]))
    assert len(set(w.own("payment_fingerprint"))) == len(set(w.own("email"))) == 12
    assert apart(w.each(last))
    assert all(len(some) == 1 for some in w.each(lambda c: json.dumps(c["model_parameters"])))
    assert len(set().union(*w.each(lambda c: json.dumps(c["model_parameters"])))) == 12
    assert len(set().union(*w.each(lambda c: c["user_agent"]))) > 3
    # What all calls of an account have in common is its wording; two accounts' have no run of six words in common.
    wrapped = [set.intersection(*(words(last(c), 6) for c in calls)) for calls in w.by.values()]
    assert all(wrapped)
    assert apart(wrapped)


def test_settings_may_be_drawn_for_each_call(tmp_path: Path) -> None:
    w = Harvest(tmp_path, settings="call")
    assert len({json.dumps(c["model_parameters"]) for c in w.calls}) > 0.9 * len(w.calls)


def test_overlap_sends_items_under_two_accounts(tmp_path: Path) -> None:
    for share, low, high in ((0.0, 0, 0), (0.3, 0.12, 0.35)):
        w = Harvest(tmp_path / str(share), overlap=share, calls=60)
        senders: dict[str, set[str]] = defaultdict(set)
        for account, calls in w.by.items():
            for c in calls:
                senders[last(c)].add(account)
        assert low <= sum(len(s) == 2 for s in senders.values()) / len(senders) <= high
        assert max(map(len, senders.values())) <= 2


def test_sham_firms_colleges_and_homes(tmp_path: Path) -> None:
    firms = Harvest(tmp_path / "f", org="typed", mail="firm", firm=4, accounts_per_card=4, verified=1.0)
    assert (
        len(set(firms.own("org"))) == len({m.split("@")[1] for m in firms.own("email")}) == len(set(firms.own("payment_fingerprint"))) == 3
    )
    assert set(Counter(firms.own("org")).values()) == {4}
    assert set(firms.own("verified")) == {"1"}
    college = Harvest(tmp_path / "c", mail="college", pool=3, accounts_per_card=1)
    assert len({m.split("@")[1] for m in college.own("email")}) == 1
    assert set(college.own("programme")) == {"edu"}
    homes = Harvest(tmp_path / "h", **{**OWN, "accounts_per_card": 3}, home=3)
    spots: dict[str, set[str]] = defaultdict(set)
    for account, calls in homes.by.items():
        for c in calls:
            spots[c["requester_ip_address"]].add(homes.records[account]["payment_fingerprint"])
    assert all(len(cards) == 1 for cards in spots.values())
    typed = Harvest(tmp_path / "t", org="typed")
    assert len(set(typed.own("org"))) == 12


def test_a_ring_inside_an_app_looks_like_its_users(tmp_path: Path) -> None:
    w = Harvest(tmp_path, (Crowd(kind="own-key-app", accounts=15),), app="own-key-app")
    app = [c for c in w.every if w.streams[c["id"]] == "crowd:own-key-app"]

    def looks(c: dict[str, Any]) -> tuple[str, str, str]:
        return c["messages"][0]["content"], c["user_agent"], json.dumps(c["model_parameters"])

    assert {looks(c) for c in w.calls} == {looks(c) for c in app}
    assert {looks(c) for c in w.ordinary} == {looks(c) for c in app}


def test_a_ring_behind_a_vpn_has_honest_neighbours(tmp_path: Path) -> None:
    w = Harvest(tmp_path, (Crowd(kind="vpn-prepaid", accounts=40, vpn=20),), behind="vpn-prepaid", addresses_per_account=4)
    honest = {c["requester_ip_address"] for c in w.every if w.streams[c["id"]] == "crowd:vpn-prepaid"}
    assert len({c["requester_ip_address"] for c in w.calls} & honest) > 10


@pytest.mark.parametrize(("sticky", "launder", "low", "high"), [(0.0, 0.0, 0.8, 1.0), (1.0, 0.0, 0.0, 0.0), (0.0, 1.0, 0.0, 0.0)])
def test_a_pipelines_answers_come_back_elsewhere_unless_kept_or_reworded(
    tmp_path: Path, sticky: float, launder: float, low: float, high: float
) -> None:
    w = Harvest(tmp_path, **OWN, stages=4, sticky=sticky, launder=launder, calls=20, calls_spread="log-normal")
    assert len(w.calls) == 12 * 20
    prompts = [(a, last(c), c["startTime"]) for a, calls in w.by.items() for c in calls]
    back = 0
    for account, calls in w.by.items():
        for c in calls:
            for other, text, at in prompts:
                if said(c) in text:
                    assert at > c["startTime"]
                    back += other != account
    assert low <= back / (len(w.calls) * 3 / 4) <= high


def test_a_sorted_list_gives_every_account_a_field_of_its_own(tmp_path: Path) -> None:
    def fields(w: Harvest) -> float:
        """Subjects in the mean account's items."""
        named = [{s for c in calls for s, words in SUBJECTS.items() if sum(x in last(c) for x in words) >= 2} for calls in w.by.values()]
        return sum(map(len, named)) / len(named)

    bare = {"techniques": {"bare": 1.0}, "items": "subjects"}
    assert 3 * fields(Harvest(tmp_path / "s", **bare, order="sorted")) < fields(Harvest(tmp_path / "d", **bare))


def test_uneven_work_hours_idle_questions(tmp_path: Path) -> None:
    even = Harvest(tmp_path / "e", accounts=30)
    uneven = Harvest(tmp_path / "u", accounts=30, calls_spread="log-normal", rhythm="waking", follow_ups=0.5, personas=True)
    assert stdev(map(len, even.by.values())) < 1 < 5 < stdev(map(len, uneven.by.values()))
    idle = [c for c in uneven.ordinary if len(c["messages"]) == 3 and any(c["messages"][0] == h["messages"][0] for h in uneven.calls)]
    assert len(idle) > 0.3 * len(uneven.calls)
    night = [sum(int(c["startTime"] % 86400 // 3600) == h for c in uneven.calls) for h in range(24)]
    assert sum(night) == len(uneven.calls)


def test_the_old_worlds_are_the_same_bytes(tmp_path: Path) -> None:
    """Figures in docs stand on these worlds; a change of bytes must be meant."""
    from hashlib import sha256

    for name, digest in (
        ("02-hydra", "75e2a584bb5398f8"),
        ("07-paraphrased-and-translated", "c64c52b7ddfa6add"),
        ("18-look-alikes", "a07cdff317157344"),
    ):
        out = tmp_path / name
        build_world(load_spec(Path(__file__).parents[2] / "specs" / f"{name}.toml"), seed=1, out=out, processes=1)
        mark = sha256()
        for file in ("calls.jsonl.gz", "accounts.csv", "truth_calls.csv.gz", "truth_accounts.csv"):
            raw = (out / file).read_bytes()
            mark.update(gzip.decompress(raw) if file.endswith("gz") else raw)
        assert mark.hexdigest()[:16] == digest, name


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ('stages = 5', "2 to 4"),
        ('stages = 3\nstolen = 0.5', "leave out stolen"),
        ('order = "sorted"', 'items = "subjects"'),
        ('app = "nobody"', "campaigns.0..app"),
        ('behind = "nobody"', "campaigns.0..behind"),
        ('wording = "odd"', "shared, account"),
        ("overlap = 1.5", "a share from 0 to 1"),
        ("firm = 0", "at least 1"),
    ],
)  # fmt: skip
def test_a_ring_that_cannot_be_made_is_refused_with_its_place(tmp_path: Path, text: str, what: str) -> None:
    (tmp_path / "bad.toml").write_text(f'[[campaigns]]\nname = "x"\n{text}\n')
    with pytest.raises(SpecError, match=what):
        load_spec(tmp_path / "bad.toml")
