"""A lab changes its key and keeps its past (A13)."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import rfc8785
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from typer.testing import CliRunner

from stillwatch.cli.main import app
from stillwatch.share.desk import audit
from stillwatch.share.desk.desk import DeskError, open_desk
from stillwatch.share.desk.keychange import rotate_key
from stillwatch.share.desk.people import Hand, people
from stillwatch.share.wire.stix import key_id
from tests.kit import every_break
from tests.share.desk.labs import OPS, Labs, desk_at, prepared, reopened, tmp_key
from tests.share.hub.samples import NOW


def test_the_ledger_goes_on_under_the_new_key_and_names_the_old_one(tmp_path: Path) -> None:
    before = desk_at(tmp_path / "d")
    policy = (before.folder / "policy.toml").read_bytes()
    prepared(before)
    desk = rotate_key(before, OPS, NOW)
    assert desk.member != before.member
    assert desk.policy.former == (before.member,)
    third = rotate_key(desk, OPS, NOW)
    third.record("note", {}, NOW)
    again = reopened(third)
    assert again.policy.former == (before.member, desk.member)
    assert [e["kind"] for e in again.ledger()] == ["person", "person", "prepared", "key-changed", "key-changed", "note"]
    assert len(people(again)) == 2
    assert (before.folder / "policy.toml").read_bytes() == policy
    assert not (before.folder / "lab.key.next").exists()
    for old in (before, desk):
        with pytest.raises(DeskError, match="changed meanwhile"):
            old.record("note", {}, NOW)
    assert [json.loads(x)["by"] for x in audit.of_desk(again).files["keys.jsonl"].splitlines()] == ["Ops", "Ops"]


def test_a_new_key_that_the_old_one_or_a_person_did_not_endorse_is_seen(tmp_path: Path) -> None:
    desk = desk_at(tmp_path / "d")
    key = Ed25519PrivateKey.generate()
    with pytest.raises(DeskError, match="nobody of that name"):
        rotate_key(desk, Hand("Thief", key), NOW)
    assert reopened(desk).member == desk.member
    public = {k: v.public_key().public_bytes_raw().hex() for k, v in (("old", desk.key), ("new", key))}
    said: dict[str, Any] = {
        "statement": "stillwatch-key-change-1",
        **public,
        "by": "Ops",
        "n": desk.book.head()[0],
        "at": "2026-11-24T00:00:00Z",
    }
    signed = rfc8785.dumps(said)
    detail = {"statement": said, "by_old": desk.key.sign(signed).hex(), "by_new": key.sign(signed).hex(), "hand": key.sign(signed).hex()}
    desk.record("key-changed", detail, NOW)
    (desk.folder / "lab.key").write_bytes(key.private_bytes_raw())
    taken = reopened(desk)
    with pytest.raises(DeskError, match="changed without a person who was enrolled"):
        people(taken)
    (desk.folder / "lab.key").write_bytes(Ed25519PrivateKey.generate().private_bytes_raw())
    with pytest.raises(DeskError, match="not the key that the ledger names"):
        reopened(desk)


def test_killed_at_every_write_it_has_the_old_key_or_the_new_one(tmp_path: Path) -> None:
    def work(n: int) -> Any:
        def run() -> None:
            rotate_key(desk_at(tmp_path / f"d{n}"), OPS, NOW)

        return run

    seen = set()
    for n in every_break(work):
        folder = tmp_path / f"d{n}"
        if not (folder / "lab.key").exists():
            continue
        desk = open_desk(folder)
        entries = [e for e in desk.ledger() if e["kind"] == "key-changed"]
        seen.add(len(entries))
        assert bool(desk.policy.former) == bool(entries)
        assert not (folder / "lab.key.next").exists()
        if entries:
            assert key_id(desk.key.public_key()) == desk.member
        desk.record("note", {}, NOW)
        assert desk.ledger()
    assert seen == {0, 1}


def test_a_lab_goes_on_and_takes_back_what_it_released_before(tmp_path: Path, served: Any) -> None:
    labs = Labs(tmp_path, served)
    mine = labs.release("a")
    labs.pull("b")
    done = CliRunner().invoke(
        app, ["release", "rotate-key", "--desk", str(labs.desks["a"].folder), "--by", "Ops", "--by-key", tmp_key(tmp_path / "ops.key", OPS)]
    )
    assert done.exit_code == 0, done.output
    labs.desks["a"] = reopened(labs.desks["a"])
    with labs.db.write() as c:
        labs.db.add_key(c, "a", labs.desks["a"].key.public_key(), 2)
    labs.answer("a", mine, "retraction", "error")
    assert labs.pull("b").retracted == (mine,)
    assert labs.pull("c").retracted == (mine,)
