"""Worlds: the same from the same seed, labelled whole, and what they claim to be."""

from __future__ import annotations

import csv
import gzip
import json
from collections import defaultdict
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stillwatch.range import SpecError, WorldSpec, build_world, load_spec, scaled_world
from stillwatch.range.reported import REPORTED, preset
from stillwatch.range.ring import Ring
from stillwatch.range.spec import Batch, Benchmark, Chat, Course, Hackathon, Honest, Reseller
from stillwatch.range.texts import PROMPTED

FEW = Honest(chat=Chat(accounts=20), batch=Batch(companies=1, keys=2, calls=10), benchmark=Benchmark(accounts=3, items=12), course=Course(students=8),
             hackathon=Hackathon(people=5), reseller=Reseller(users=5))  # fmt: skip
TINY = WorldSpec(honest=FEW, campaigns=(Ring(name="hydra", accounts=6, calls=8),))
FILES = ("calls.jsonl.gz", "accounts.csv", "truth_calls.csv.gz", "truth_accounts.csv")
SPECS = sorted((Path(__file__).parents[2] / "specs").glob("*.toml"))


def load(out: Path) -> tuple[list[dict[str, object]], dict[str, str], dict[str, dict[str, str]], set[str]]:
    calls = [json.loads(line) for line in gzip.open(out / "calls.jsonl.gz")]
    streams = {r["id"]: r["stream"] for r in csv.DictReader(gzip.open(out / "truth_calls.csv.gz", "rt"))}
    truth = {r["account"]: r for r in csv.DictReader((out / "truth_accounts.csv").open())}
    signups = {r["account"] for r in csv.DictReader((out / "accounts.csv").open())}
    return calls, streams, truth, signups


def test_one_seed_one_world(tmp_path: Path) -> None:
    for name, seed, processes in (("a", 5, 1), ("b", 5, 2), ("c", 6, 1)):
        build_world(TINY, seed=seed, out=tmp_path / name, processes=processes)
    for file in FILES:
        assert (tmp_path / "a" / file).read_bytes() == (tmp_path / "b" / file).read_bytes()
        assert (tmp_path / "a" / file).read_bytes() != (tmp_path / "c" / file).read_bytes()
    assert sorted(p.name for p in (tmp_path / "a").iterdir()) == sorted(FILES)


def test_labels_are_complete_and_say_what_is_true(tmp_path: Path) -> None:
    summary = build_world(TINY, seed=1, out=tmp_path)
    calls, streams, truth, signups = load(tmp_path)
    assert len(calls) == len(streams) == summary.calls
    assert set(truth) == signups
    assert [c["startTime"] for c in calls] == sorted(c["startTime"] for c in calls)  # type: ignore[type-var]
    texts: dict[str, dict[str, list[str]]] = defaultdict(lambda: defaultdict(list))
    for c in calls:
        account = c["metadata"]["user_api_key_user_id"]  # type: ignore[index]
        assert account in truth
        texts[streams[str(c["id"])]][account].append(json.dumps(c["messages"]))
    slices = list(texts["hydra"].values())
    assert len(slices) == 6
    assert sum(map(len, slices)) == len(set().union(*slices)) == 48
    assert len({frozenset(t) for t in texts["eval"].values()}) == 1
    assert set(texts) == {
        "chat", "batch", "holding", "eval", "judge", "class", "hackathon", "gateway", "agent", "optimiser", "release-day", "synthetic", "migration",
        "hydra", "camouflage:hydra",
    }  # fmt: skip


@settings(max_examples=15)
@given(
    seed=st.integers(0, 2**32),
    ring=st.builds(
        Ring,
        name=st.just("ring"),
        accounts=st.integers(1, 6),
        calls=st.integers(1, 5).map(float),
        camouflage=st.floats(0, 2),
        accounts_per_card=st.integers(1, 9),
        pool=st.integers(1, 9),
        pool_kind=st.sampled_from(["residential", "datacentre"]),
        variants=st.integers(1, 50),
        languages=st.integers(1, 5),
        slices=st.booleans(),
        stolen=st.sampled_from([0.0, 0.5, 1.0]),
        mail=st.sampled_from(["pattern", "people", "catch-all"]),
        addresses_per_account=st.integers(0, 3),
        sanitised=st.booleans(),
        paths=st.integers(1, 4),
        pivot_day=st.none() | st.just(3.0),
        ban_day=st.none() | st.just(6.0),
        relay=st.sampled_from([0.0, 1.0]),
        replay=st.sampled_from([0.0, 1.0]),
        techniques=st.dictionaries(st.sampled_from([*PROMPTED, "bare"]), st.just(1.0), min_size=1, max_size=4),
    ),
)
def test_any_ring_is_labelled_whole(tmp_path_factory: pytest.TempPathFactory, seed: int, ring: Ring) -> None:
    out = tmp_path_factory.mktemp("world")
    spec = WorldSpec(honest=FEW, campaigns=(ring,))
    build_world(spec, seed=seed, out=out)
    calls, streams, truth, signups = load(out)
    assert {str(c["id"]) for c in calls} == set(streams)
    assert len(calls) == len(streams)
    assert sum(s == "ring" for s in streams.values()) == ring.accounts * ring.calls
    assert {c["metadata"]["user_api_key_user_id"] for c in calls} == set(truth) == signups  # type: ignore[index]
    ours = {a for a, r in truth.items() if r["campaign"] == "ring"}
    assert len(ours) >= ring.accounts
    assert all(c["startTime"] <= spec.begin + 90 * 86400 for c in calls)  # type: ignore[operator]
    for c in calls:
        of_ring = streams[str(c["id"])] == "ring"
        assert not of_ring or c["metadata"]["user_api_key_user_id"] in ours  # type: ignore[index]


def test_several_labs_share_a_ring_and_no_honest_account(tmp_path: Path) -> None:
    spec = WorldSpec(labs=3, honest=FEW, campaigns=(Ring(name="hydra", accounts=9, calls=5),))
    build_world(spec, seed=2, out=tmp_path)
    worlds = [load(tmp_path / f"lab-{k}") for k in (1, 2, 3)]
    accounts = [set(truth) for _, _, truth, _ in worlds]
    assert not accounts[0] & accounts[1]
    cards = []
    for k, (_, _, truth, _) in enumerate(worlds):
        rows = csv.DictReader((tmp_path / f"lab-{k + 1}" / "accounts.csv").open())
        mine = {r["payment_fingerprint"] for r in rows if truth[r["account"]]["campaign"]}
        assert sum(r["campaign"] == "hydra" for r in truth.values()) == 3
        cards.append(mine)
    assert cards[0] & cards[1]


@pytest.mark.parametrize("path", SPECS, ids=lambda p: p.stem)
def test_the_specs_of_the_repository_load(path: Path) -> None:
    spec = load_spec(path)
    assert spec.name == path.stem
    assert spec.note


def test_presets_keep_what_was_reported() -> None:
    for name, (calls, accounts, rate) in REPORTED.items():
        p = preset(name, 0.01, 45.0)
        assert p["accounts"] == max(1, round(accounts * 0.01))
        if accounts == 1:
            assert p["calls"] == calls * 0.01
        elif rate:
            days = min(45.0, calls / accounts / rate)
            assert p["calls"] / days == pytest.approx(rate, rel=0.01)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("days = 0", "days: more than 0"),
        ("dyas = 3", "dyas"),
        ("[honest.chat]\naccount = 3", "account"),
        ('[[campaigns]]\nname = "x"\npreset = "nobody"', r"campaigns\[0\].preset"),
        ('[[campaigns]]\nname = "x"\ntechniques = { D22 = 1 }', "D22: has a field of its own or cannot be seen"),
        ('[[campaigns]]\nname = "x"\nmail = "fancy"', "pattern, people, catch-all"),
        ('[[campaigns]]\nname = "x"\naccounts = 1000000000', "at most"),
        ("name = [", "not TOML"),
    ],
)
def test_a_bad_spec_is_refused_with_its_place(tmp_path: Path, text: str, words: str) -> None:
    path = tmp_path / "bad.toml"
    path.write_text(text)
    with pytest.raises(SpecError, match=words) as error:
        load_spec(path)
    assert str(path) in str(error.value)


def test_own_prompts_take_the_grammars_place(tmp_path: Path) -> None:
    (tmp_path / "asks.txt").write_text("why is my kettle loud\n\nname three rivers\n")
    (tmp_path / "tasks.jsonl").write_text('{"prompt": "Prove the lemma."}\n"Count the boats."\n')
    spec = WorldSpec(honest=FEW, campaigns=(Ring(name="r", accounts=3, calls=4),), chat_prompts=str(tmp_path / "asks.txt"), task_prompts=str(tmp_path / "tasks.jsonl"))  # fmt: skip
    build_world(spec, seed=1, out=tmp_path / "w")
    calls, streams, _, _ = load(tmp_path / "w")
    harvest = [c["messages"][-1]["content"] for c in calls if streams[str(c["id"])] == "r"]  # type: ignore[index]
    assert all("Prove the lemma." in t or "Count the boats." in t for t in harvest)
    (tmp_path / "tasks.jsonl").write_text('"fine"\n{"question": 1}\n')
    bad = WorldSpec(honest=FEW, task_prompts=str(tmp_path / "tasks.jsonl"), name="bad")
    from stillwatch.range.people import _prompts

    _prompts.cache_clear()
    with pytest.raises(SpecError, match="line 2"):
        build_world(bad, seed=1, out=tmp_path / "v")


def test_scaled_worlds_grow_as_asked() -> None:
    assert scaled_world(100_000).honest.chat.accounts == pytest.approx(10 * scaled_world(10_000).honest.chat.accounts, rel=0.01)
