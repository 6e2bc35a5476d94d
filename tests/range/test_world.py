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

from stillwatch.range import Hydra, WorldSpec, build_world, scaled_world

TINY = WorldSpec(chat=20, companies=1, keys_per_company=2, calls_per_key=10, benchmarkers=3, benchmark_items=12, course=8, hackers=5, reseller_users=5,
                 hydras=(Hydra(accounts=6, calls_per_account=8),))  # fmt: skip
FILES = ("calls.jsonl.gz", "accounts.csv", "truth_calls.csv.gz", "truth_accounts.csv")


def load(out: Path) -> tuple[list[dict[str, object]], dict[str, str], dict[str, dict[str, str]], set[str]]:
    calls = [json.loads(line) for line in gzip.open(out / "calls.jsonl.gz")]
    streams = {r["id"]: r["stream"] for r in csv.DictReader(gzip.open(out / "truth_calls.csv.gz", "rt"))}
    truth = {r["account"]: r for r in csv.DictReader((out / "truth_accounts.csv").open())}
    signups = {r["account"] for r in csv.DictReader((out / "accounts.csv").open())}
    return calls, streams, truth, signups


def test_one_seed_one_world(tmp_path: Path) -> None:
    for name, seed, chunk in (("a", 5, 100_000), ("b", 5, 50), ("c", 6, 100_000)):
        build_world(TINY, seed=seed, out=tmp_path / name, chunk=chunk)
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
    assert {"chat", "batch", "eval", "class", "hackathon", "gateway", "hydra", "camouflage:hydra"} == set(texts)


@settings(max_examples=10)
@given(st.integers(0, 2**32), st.integers(2, 6), st.integers(1, 5), st.floats(0, 2), st.integers(1, 9))
def test_any_small_spec_builds(
    tmp_path_factory: pytest.TempPathFactory, seed: int, accounts: int, each: int, camouflage: float, cards: int
) -> None:
    out = tmp_path_factory.mktemp("world")
    ring = Hydra("ring", accounts, each, camouflage, cards, pool=3)
    build_world(WorldSpec(chat=3, companies=1, keys_per_company=1, calls_per_key=1, benchmarkers=1, benchmark_items=2, course=1, hackers=1,
                          reseller_users=1, hydras=(ring,)), seed=seed, out=out)  # fmt: skip
    calls, streams, truth, _ = load(out)
    assert {str(c["id"]) for c in calls} == set(streams)
    assert sum(s == "ring" for s in streams.values()) == accounts * each
    assert sum(r["campaign"] == "ring" for r in truth.values()) == accounts


def test_scaled_worlds_grow_as_asked() -> None:
    assert scaled_world(100_000).chat == 10 * scaled_world(10_000).chat
    assert scaled_world(100_000).hydras[0].accounts == 300
