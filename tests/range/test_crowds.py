"""Crowds: drawn within their ranges, the same from the same seed, and each what its kind says."""

from __future__ import annotations

import csv
import gzip
import json
from collections import Counter, defaultdict
from pathlib import Path
from random import Random
from typing import Any

import pytest
from tests.kit import NOBODY

from stillwatch.range import SpecError, WorldSpec, build_world, load_spec
from stillwatch.range.crowds import KINDS, RANGES, Crowd, draw_crowd, ranges_table
from stillwatch.range.spec import Honest


class World:
    """A built world: the crowd's calls by account, and the sign-up records."""

    def __init__(self, folder: Path, crowd: Crowd, seed: int = 3, **more: Any) -> None:
        spec = WorldSpec(answers=True, campaigns=(), honest=Honest(crowds=(crowd,), **NOBODY), **more)
        build_world(spec, seed=seed, out=folder, processes=1)
        streams = {r["id"]: r["stream"] for r in csv.DictReader(gzip.open(folder / "truth_calls.csv.gz", "rt"))}
        self.every = [json.loads(line) for line in gzip.open(folder / "calls.jsonl.gz")]
        self.calls = [c for c in self.every if streams[c["id"]].startswith("crowd:")]
        self.by: dict[str, list[dict[str, Any]]] = defaultdict(list)
        for c in self.calls:
            self.by[c["metadata"]["user_api_key_user_id"]].append(c)
        self.records = {r["account"]: r for r in csv.DictReader((folder / "accounts.csv").open())}

    def items(self, account: str) -> set[str]:
        return {c["messages"][-1]["content"] for c in self.by[account]}

    def own(self, field: str) -> list[str]:
        return [self.records[a][field] for a in self.by]


def said(call: dict[str, Any]) -> str:
    return call["response"]["choices"][0]["message"]["content"]


@pytest.mark.parametrize("kind", KINDS)
def test_every_parameter_is_drawn_within_its_range_and_not_always_the_same(kind: str) -> None:
    drawn = [draw_crowd(Crowd(kind=kind), Random(seed)) for seed in range(60)]
    for name, (low, high) in RANGES[kind].items():
        values = {getattr(c, name) for c in drawn}
        assert min(values) >= low
        assert max(values) <= high
        assert low == high or len(values) > 1
    assert draw_crowd(Crowd(kind=kind, accounts=7, verified=0.0), Random(1)).accounts == 7


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_makes_a_world_the_same_from_the_same_seed(kind: str, tmp_path: Path) -> None:
    first, second = World(tmp_path / "a", Crowd(kind=kind, accounts=12)), World(tmp_path / "b", Crowd(kind=kind, accounts=12))
    assert first.every == second.every
    assert first.records == second.records
    assert World(tmp_path / "c", Crowd(kind=kind, accounts=12), seed=4).every != first.every
    assert len(first.by) >= 6
    assert all(c["startTime"] >= float(first.records[a]["created_at"]) for a, calls in first.by.items() for c in calls)


def test_students_slices_are_disjoint_and_a_tutorials_cells_are_the_same(tmp_path: Path) -> None:
    world = World(tmp_path / "s", Crowd(kind="students", accounts=12, group=12, calls=20, spread=0))
    assert {len(c) for c in world.by.values()} == {20}
    seen = [world.items(a) for a in world.by]
    assert sum(map(len, seen)) == len(set().union(*seen)) == 240
    lesson = World(tmp_path / "t", Crowd(kind="tutorial", accounts=20, calls=10, follow_ups=0, paste=0))
    counts = Counter(text for a in lesson.by for text in lesson.items(a))
    assert max(counts.values()) == 20
    assert sum(n >= 10 for n in counts.values()) >= 3


@pytest.mark.parametrize("kind", ["annotators", "translators", "freelancers"])
def test_work_is_disjoint_with_one_template(kind: str, tmp_path: Path) -> None:
    world = World(tmp_path, Crowd(kind=kind, accounts=12, calls=15, follow_ups=0, paste=0))
    seen = [world.items(a) for a in world.by]
    assert sum(map(len, seen)) == len(set().union(*seen))
    assert len({text[:25] for some in seen for text in some}) == 1


def test_a_household_has_one_home_and_its_conversations_may_wander(tmp_path: Path) -> None:
    crowd = Crowd(
        kind="household", accounts=12, group=4, per_card=4, prepaid=0, away=0, addresses=1, wander=0.5, follow_ups=0.7, calls=30, vpn=0
    )
    world = World(tmp_path, crowd)
    homes = Counter(c["requester_ip_address"] for c in world.calls)
    assert len(homes) == len(set(world.own("payment_fingerprint"))) == 3
    answers = {said(c): a for a, calls in world.by.items() for c in calls}
    crossing = {
        (answers[m["content"]], a)
        for a, calls in world.by.items()
        for c in calls
        for m in c["messages"]
        if m["role"] == "assistant" and answers[m["content"]] != a
    }
    assert crossing
    assert all(world.records[a]["payment_fingerprint"] == world.records[b]["payment_fingerprint"] for a, b in crossing)


def test_conversations_grow_with_the_answers_in_them(tmp_path: Path) -> None:
    world = World(tmp_path, Crowd(kind="own-key-app", accounts=20, follow_ups=0.6, paste=0.2, calls=20))
    answers: dict[str, set[str]] = {a: {said(c) for c in calls} for a, calls in world.by.items()}
    longer = [c for c in world.calls if len(c["messages"]) > 3]
    assert len(longer) > 0.3 * len(world.calls)
    for account, calls in world.by.items():
        for c in calls:
            assert {m["content"] for m in c["messages"] if m["role"] == "assistant"} <= answers[account]
    pasted = sum(any(x in c["messages"][-1]["content"] for x in answers[a]) for a, calls in world.by.items() for c in calls)
    assert pasted > 5
    assert len({c["messages"][0]["content"] for c in world.calls}) == 1
    assert len({c["user_agent"] for c in world.calls}) == 1


def test_a_teacher_quotes_every_pupil_and_pupils_quote_nobody_else(tmp_path: Path) -> None:
    world = World(tmp_path, Crowd(kind="essay-class", accounts=20, group=20, paste=0.3))
    answers = {said(c): a for a, calls in world.by.items() for c in calls}
    quoting: dict[str, set[str]] = defaultdict(set)
    for a, calls in world.by.items():
        for c in calls:
            quoting[a] |= {b for text, b in answers.items() if b != a and text in c["messages"][-1]["content"]}
    teacher = max(quoting, key=lambda a: len(quoting[a]))
    assert len(quoting[teacher]) == 19
    others = [some for a, some in quoting.items() if a != teacher]
    assert all(some <= {teacher} for some in others)
    assert any(others)


def test_few_cards_few_exits_and_mail_aliases(tmp_path: Path) -> None:
    shop = World(tmp_path / "r", Crowd(kind="reseller", accounts=30, per_card=10, prepaid=0, one_mail=1))
    assert len(set(shop.own("payment_fingerprint"))) == 3
    vpn = World(tmp_path / "v", Crowd(kind="vpn-prepaid", accounts=60, vpn=20, prepaid=1))
    assert len({c["requester_ip_address"] for c in vpn.calls}) <= 20
    assert set(vpn.own("payment_fingerprint")) == {""}
    private = World(tmp_path / "p", Crowd(kind="privacy-client", accounts=30, one_mail=1))
    assert len({m.split("@")[1] for m in private.own("email")}) == 1
    launch = World(tmp_path / "l", Crowd(kind="carrier-launch", accounts=60, addresses=5, away=0, fresh=1, signup_days=1, vpn=0))
    assert len({c["requester_ip_address"] for c in launch.calls}) <= 5
    made = [float(x) for x in launch.own("created_at")]
    assert max(made) - min(made) <= 86400


def test_organisation_ids_on_all_accounts_or_some(tmp_path: Path) -> None:
    for how, low, high in (("none", 0, 0), ("some", 0.2, 0.8), ("all", 1, 1)):
        world = World(tmp_path / how, Crowd(kind="tutorial", accounts=40), organisations=how)
        orgs = world.own("org")
        assert low <= sum(bool(o) for o in orgs) / len(orgs) <= high
        assert len({o for o in orgs if o}) == sum(bool(o) for o in orgs)
        assert {c["metadata"]["user_api_key_org_id"] or "" for c in world.calls} == set(orgs)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('answers = true\n[[honest.crowds]]\nkind = "mob"', r"honest.crowds\[0\].kind"),
        ('answers = true\n[[honest.crowds]]\nkind = "school"\nverified = 2', "a share from 0 to 1"),
        ('answers = true\n[[honest.crowds]]\nkind = "school"\naccounts = 0', "at least 1"),
        ('answers = true\n[[honest.crowds]]\nkind = "school"\n[[honest.crowds]]\nkind = "school"', "name the second crowd"),
        ('[[honest.crowds]]\nkind = "school"', "answers = true"),
        ('organisations = "most"', "none, some, all"),
    ],
)
def test_a_crowd_that_cannot_be_made_is_refused_with_its_place(tmp_path: Path, text: str, words: str) -> None:
    (tmp_path / "bad.toml").write_text(text)
    with pytest.raises(SpecError, match=words):
        load_spec(tmp_path / "bad.toml")


def test_the_documented_ranges_are_the_real_ones() -> None:
    text = (Path(__file__).parents[2] / "docs" / "range.md").read_text()
    assert all(row in text for row in ranges_table())
    assert all(f"| `{kind}` |" in text for kind in KINDS)
