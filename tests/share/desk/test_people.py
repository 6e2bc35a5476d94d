"""Persons at a desk: two hands, keys of their own, names in any script; what an operator alone cannot do."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import rfc8785
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from stillwatch.cli.main import app
from stillwatch.share.desk import audit, sharing
from stillwatch.share.desk.desk import Desk, DeskError, make_desk, open_desk
from stillwatch.share.desk.keychange import rotate_key
from stillwatch.share.desk.people import Hand, enrol, enrolled, people, remove, statements, the_person
from stillwatch.share.wire import persons
from tests.share.desk.labs import COUNSEL, OPS, desk_at, prepared, reopened
from tests.share.hub.samples import NOW


def somebody(name: str = "General Counsel") -> Hand:
    return Hand(name, Ed25519PrivateKey.generate())


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return desk_at(tmp_path / "desk")


def test_after_the_first_two_it_takes_a_second_hand_and_the_person_s_own_key(desk: Desk) -> None:
    """A10: an operator adds "General Counsel" alone, approves, and takes her out again."""
    made, new = prepared(desk), somebody()
    with pytest.raises(DeskError, match="needs a second hand"):
        enrol(desk, new, ("release", "counsel"), NOW)
    with pytest.raises(DeskError, match="nobody of that name"):
        enrol(desk, new, ("release",), NOW, by=new)
    with pytest.raises(DeskError, match="second hand must be another"):
        enrol(desk, OPS, ("release", "counsel"), NOW, by=OPS)
    with pytest.raises(DeskError, match="not the key"):
        enrol(desk, new, ("release",), NOW, by=Hand("Counsel", new.key))
    with pytest.raises(DeskError, match="nobody of that name"):
        sharing.approve(desk, made.release.id, new, NOW)
    with pytest.raises(DeskError, match="Ops: has not the role counsel and so cannot give it"):
        enrol(desk, new, ("release", "counsel"), NOW, by=OPS)
    enrol(desk, new, ("release", "counsel"), NOW, by=COUNSEL)
    sharing.approve(desk, made.release.id, new, NOW)
    with pytest.raises(DeskError, match="second hand must be another"):
        remove(desk, new.name, NOW, new)
    remove(desk, new.name, NOW, COUNSEL)
    with pytest.raises(DeskError, match="was removed"):
        the_person(desk, new, "release")
    export = audit.of_desk(desk).files
    persons = {p["name"]: p for p in map(json.loads, export["persons.jsonl"].splitlines())}
    assert persons["General Counsel"]["added_by"] == "Counsel"
    assert persons["General Counsel"]["removed_by"] == "Counsel"
    assert persons["Ops"]["added_by"] == "founder"
    message = json.loads(export["messages.jsonl"])
    assert (message["approved_by"], message["approved_key"]) == ("General Counsel", new.public)
    assert "General Counsel" in export["report.html"].decode()


def test_policy_toml_says_nothing_about_persons(desk: Desk) -> None:
    policy = desk.folder / "policy.toml"
    good = policy.read_text()
    policy.write_text(good + f'\n[[people]]\nname = "General Counsel"\nroles = ["release"]\npublic_key = "{"0" * 64}"\n')
    with pytest.raises(DeskError, match="General Counsel, whom the ledger does not know"):
        reopened(desk)
    policy.write_text(good + f'\n[[people]]\nname = "Ops"\nroles = ["counsel"]\npublic_key = "{"0" * 64}"\n')
    assert enrolled(people(reopened(desk)))["Ops"].roles == ("release", "operator")
    assert policy.read_text().startswith(good)


@pytest.mark.parametrize(
    "change", ["no hand", "own hand", "no own key", "other place", "other desk", "key of a thief", "moved", "beyond the hand"]
)
def test_a_person_written_in_with_the_lab_s_key_alone_is_seen(desk: Desk, change: str) -> None:
    """Whoever holds lab.key can append to the ledger; a person takes signatures that he does not have."""
    new = somebody()
    n, _ = desk.book.head()
    said = {
        "statement": "stillwatch-person-1",
        "act": "add",
        "name": new.name,
        "roles": ["counsel" if change == "beyond the hand" else "release"],
    }
    said |= {"public_key": new.public, "by": "Ops", "member": desk.member, "n": n, "at": "2026-11-24T00:00:00Z"}
    if change == "other place":
        said["n"] = n - 1
    if change == "other desk":
        said["member"] = "0" * 16
    if change == "no hand":
        said["by"] = ""
    signed = rfc8785.dumps(said)
    own = "" if change == "no own key" else new.key.sign(signed).hex()
    by = new.key if change in ("own hand", "key of a thief") else OPS.key
    if change == "moved":  # as if it came from the policy of an earlier version
        desk.record("migrated", {}, NOW)
        said["n"] = n = n + 1
    detail = {"statement": said, "own": own, "hand": "" if change == "moved" else by.sign(signed).hex()}
    desk.record("person", detail | ({"moved": True} if change in ("moved", "no hand") else {}), NOW)
    with pytest.raises(DeskError, match=f"ledger entry {n}: a person without the signatures that it takes"):
        the_person(desk, OPS)


def test_roles_change_and_names_and_keys_are_one_person_s(desk: Desk) -> None:
    with pytest.raises(DeskError, match="enrolled already"):
        enrol(desk, OPS, ("release", "operator"), NOW, by=COUNSEL)
    with pytest.raises(DeskError, match="second hand"):
        enrol(desk, OPS, ("auditor",), NOW)
    enrol(desk, OPS, ("auditor",), NOW, by=COUNSEL)
    assert enrolled(people(desk))["Ops"].roles == ("auditor",)
    assert "release, operator -> auditor" in people(desk)[1].changes[0]
    with pytest.raises(DeskError, match="has not the role release but auditor"):
        sharing.approve(desk, prepared(desk).release.id, OPS, NOW)
    with pytest.raises(DeskError, match="the key is or was Ops's"):
        enrol(desk, Hand("Another", OPS.key), ("release",), NOW, by=COUNSEL)
    with pytest.raises(DeskError, match="cannot be told from Ops"):
        enrol(desk, somebody("\uff2fPS"), ("release",), NOW, by=COUNSEL)
    with pytest.raises(DeskError, match="nothing to remove"):
        remove(desk, "Nobody", NOW, COUNSEL)
    remove(desk, "Ops", NOW, COUNSEL)
    with pytest.raises(DeskError, match="who comes back a new one"):
        enrol(desk, Hand("Ops", OPS.key), ("operator",), NOW, by=COUNSEL)
    enrol(desk, somebody("Ops"), ("operator",), NOW, by=COUNSEL)  # comes back, by a second hand
    assert [(s.person.name, s.removed is None) for s in people(desk)] == [("Counsel", True), ("Ops", False), ("Ops", True)]


NAMES = [
    "\U00020bb7\u7530 \u592a\u90ce",
    "\u0645\u06cc\u200c\u062e\u0648\u0627\u0647\u0645",
    'Zo\u00eb O\'Hara "Z"',
    "\U0001f9d1\u200d\u2696 J",
    "back\\slash",
    "[[people]]",
]


@pytest.mark.parametrize("name", NAMES)
def test_names_in_any_script_through_the_command_line(tmp_path: Path, name: str) -> None:
    """A28: a letter outside the basic plane made policy.toml unreadable."""
    home = tmp_path / "d"
    make_desk(home)
    policy = (home / "policy.toml").read_bytes()
    done = CliRunner().invoke(app, ["release", "person", name, "--counsel", "--desk", str(home), "--key", str(tmp_path / "k")])
    assert done.exit_code == 0, done.output
    assert enrolled(people(open_desk(home)))[name].roles == ("release", "counsel")
    assert (home / "policy.toml").read_bytes() == policy


@settings(max_examples=60, deadline=None)
@given(st.text(max_size=85))
def test_any_text_is_a_person_or_a_clear_refusal_and_the_desk_goes_on(tmp_path_factory: pytest.TempPathFactory, name: str) -> None:
    desk = make_desk(tmp_path_factory.mktemp("desk") / "d")
    try:
        enrol(desk, somebody(name), ("release",), NOW)
    except DeskError as error:
        assert "not a name" in str(error)
        assert "\n" not in str(error)
        assert enrolled(people(reopened(desk))) == {}
    else:
        assert list(enrolled(people(reopened(desk)))) == [name]
        assert name.strip() == name


def test_the_commands(tmp_path: Path) -> None:
    def run(*words: str, code: int = 0) -> str:
        done = CliRunner().invoke(app, ["release", "person", *words, "--desk", str(tmp_path / "d")])
        assert done.exit_code == code, done.output
        return done.output

    make_desk(tmp_path / "d")
    key = {n: str(tmp_path / f"{n}.key") for n in "abcd"}
    assert "A may approve" in run("A", "--key", key["a"])
    assert "B may act as operator, auditor" in run("B", "--key", key["b"], "--role", "operator", "--role", "auditor")
    assert "second hand" in run("C", "--key", key["c"], code=2)
    assert not Path(key["c"]).exists()
    assert "has not the role release" in run("C", "--key", key["c"], "--counsel", "--by", "B", "--by-key", key["b"], code=2)
    assert "C may approve" in run("C", "--key", key["c"], "--counsel", "--by", "A", "--by-key", key["a"])
    assert "give the name and" in run("C", "--remove", "--by", "B", code=2)
    assert "--role" in run("D", "--key", key["d"], "--role", "king", code=2)
    assert "--remove needs a second hand" in run("C", "--remove", code=2)
    assert "removed by A" in run("C", "--remove", "--by", "A", "--by-key", key["a"])
    assert "--key is needed" in run("D", code=2)
    Path(key["a"]).chmod(0o644)
    assert "can be read by other users; run: chmod 600" in run("C", "--key", key["c"], "--by", "A", "--by-key", key["a"], code=2)


def test_lab_key_that_others_can_read_is_refused(desk: Desk) -> None:
    """A29."""
    place = desk.folder / "lab.key"
    for mode in (0o644, 0o640, 0o604, 0o660):
        place.chmod(mode)
        with pytest.raises(DeskError, match=r"lab\.key: the key can be read by other users; run: chmod 600"):
            reopened(desk)
    place.chmod(0o400)
    assert reopened(desk).member == desk.member


def test_the_hub_is_told_of_keys_and_roles_and_no_names(desk: Desk) -> None:
    third, fourth = somebody("Third"), somebody("Fourth")
    enrol(desk, third, ("auditor",), NOW, by=COUNSEL)
    enrol(desk, third, ("auditor", "operator"), NOW, by=OPS)
    enrol(desk, fourth, ("release",), NOW, by=OPS)
    remove(desk, "Third", NOW, COUNSEL)
    rotated = rotate_key(desk, OPS, NOW)
    enrol(rotated, somebody("Fifth"), ("counsel",), NOW, by=COUNSEL)
    stated = statements(rotated)
    assert not any(name in json.dumps(stated) for name in ("Third", "Fourth", "Fifth", "Ops", "Counsel"))
    standing = persons.fold(stated, {d.member: d.key.public_key() for d in (desk, rotated)})
    assert [(sorted(s.roles), s.removed is None) for s in standing.values()] == [
        (["counsel", "release"], True),
        (["operator", "release"], True),
        (["auditor", "operator"], False),
        (["release"], True),
        (["counsel"], True),
    ]


def test_a_desk_that_joined_before_anybody_was_named_can_still_be_founded(tmp_path: Path) -> None:
    desk = make_desk(tmp_path / "d")
    desk.remember(hub="http://hub.example", persons_told=["http://hub.example", 0])
    assert enrol(desk, COUNSEL, ("release", "counsel"), NOW)
    desk.remember(persons_told=["http://hub.example", 1])
    with pytest.raises(DeskError, match="once a hub knows one"):
        enrol(desk, OPS, ("operator",), NOW)
    assert not enrol(desk, OPS, ("operator",), NOW, by=COUNSEL)


def test_the_desk_takes_no_statement_that_the_hub_would_refuse(tmp_path: Path) -> None:
    """One refused statement would keep all that come after it from the hub, and nothing could be sent any more."""
    desk = desk_at(tmp_path / "desk")
    auditor = Hand("Auditor", Ed25519PrivateKey.from_private_bytes(b"a" * 32))
    enrol(desk, auditor, ("auditor",), NOW, by=COUNSEL)
    before = len(desk.ledger())
    with pytest.raises(DeskError, match="release or counsel gives or takes"):
        remove(desk, "Ops", NOW, by=auditor)
    assert len(desk.ledger()) == before
    remove(desk, "Ops", NOW, by=COUNSEL)
    persons.fold(statements(desk), {desk.member: desk.key.public_key()})
