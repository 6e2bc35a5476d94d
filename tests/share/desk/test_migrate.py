"""A desk of before the database, as an earlier Stillwatch left it (``desk-of-files.json``), is taken over once and whole."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from stillwatch.share.desk import audit, sharing
from stillwatch.share.desk.desk import Desk, DeskError, open_desk
from stillwatch.share.desk.people import Hand, enrol, enrolled, introduce, people, remove, statements
from stillwatch.share.wire import persons as wire_persons
from tests.kit import at_once, every_break
from tests.share.desk.labs import COUNSEL, OPS, PretendHub, prepared
from tests.share.hub.samples import NOW

FILES = json.loads((Path(__file__).parent / "desk-of-files.json").read_text())
BEFORE = [json.loads(line) for line in FILES["ledger.jsonl"].splitlines()]
OLD_COUNSEL = Hand("Counsel b", COUNSEL.key)


def desk_of_files(folder: Path) -> Path:
    for name, text in FILES.items():
        place = folder / name
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(bytes.fromhex(text[4:]) if text.startswith("hex:") else text.encode())
        place.chmod(0o600)
    return folder


def is_whole(desk: Desk) -> None:
    entries = desk.ledger()
    assert entries[: len(BEFORE)] == BEFORE
    assert [e["kind"] for e in entries[len(BEFORE) :]] == ["migrated", "person"]
    assert enrolled(people(desk))["Counsel b"].roles == ("release", "counsel")
    old = json.loads(FILES["state.json"])
    assert {k: v for k, v in desk.state().items() if k != "migrated"} == old
    assert len(desk.inbox()) == sum(name.startswith("inbox/") for name in FILES)
    assert {r.state for r in desk.inbox()} == {"retracted"}
    assert sorted(r.stage for r in desk.book.releases()) == ["prepared", "sent", "sent"]
    for name in ("ledger.jsonl", "state.json", "inbox"):
        assert not (desk.folder / name).exists()
        assert (desk.folder / "before-desk-db" / name).exists()
    assert (desk.folder / "before-desk-db" / "ledger.jsonl").read_text() == FILES["ledger.jsonl"]
    assert (desk.folder / "policy.toml").read_text() == FILES["policy.toml"]


def test_killed_at_every_write_and_run_again_it_is_whole(tmp_path: Path) -> None:
    def work(n: int) -> Callable[[], object]:
        folder = desk_of_files(tmp_path / f"d{n}")
        return lambda: open_desk(folder)

    count = 0
    for n in every_break(work):
        is_whole(open_desk(tmp_path / f"d{n}"))
        count += 1
    assert count > 10
    desk = open_desk(tmp_path / "d0")
    is_whole(desk)  # and once only
    assert (desk.folder / "desk.db").stat().st_mode & 0o777 == 0o600


def test_two_that_open_it_at_once_take_it_over_once(tmp_path: Path) -> None:
    folder = desk_of_files(tmp_path / "d")
    entries = at_once([lambda: len(open_desk(folder).ledger())] * 3)
    assert entries == [len(BEFORE) + 2] * 3
    is_whole(open_desk(folder))


def test_it_goes_on_from_there(tmp_path: Path) -> None:
    desk, hub = open_desk(desk_of_files(tmp_path / "d")), PretendHub(tmp_path / "hub")
    assert sharing.waiting(desk) == []  # what was approved and not sent has no approval that travels
    (again,) = [r for r in desk.book.releases() if r.stage == "prepared"]
    sharing.approve(desk, again.id, OLD_COUNSEL, NOW)
    sharing.send(desk, again.id, hub, NOW)  # type: ignore[arg-type]
    sent = next(r for r in desk.book.releases() if r.id.startswith("campaign--") and r.id != again.id)
    made = sharing.answer(desk, sent.id, NOW, kind="retraction", value="error")
    assert isinstance(made, sharing.Prepared)
    sharing.approve(desk, made.release.id, OLD_COUNSEL, NOW)
    approvals = desk.ledger()[-1]["detail"]["approvals"]
    assert len(approvals) == 2  # the campaign's too, which had none that travels
    enrol(desk, OPS, ("operator",), NOW, by=OLD_COUNSEL)
    assert [s["statement"]["by"] for s in statements(desk)] == [
        "",
        OLD_COUNSEL.public,
    ]  # whom no hub knew introduced himself when he approved
    with pytest.raises(DeskError, match="needs a second hand"):
        enrol(desk, Hand("Third", Ed25519PrivateKey.generate()), ("release",), NOW)
    report = audit.of_desk(desk).files
    decisions = [json.loads(x) for x in report["decisions.jsonl"].splitlines()]
    assert [d["because"] for d in decisions] == ["retracted", "retracted"]
    prepared(desk)


def test_a_torn_last_line_is_left_out_and_any_other_fault_is_named(tmp_path: Path) -> None:
    folder = desk_of_files(tmp_path / "torn")
    ledger = folder / "ledger.jsonl"
    ledger.write_text(FILES["ledger.jsonl"] + '{"at":"2026')  # a power cut
    desk = open_desk(folder)
    assert desk.ledger()[: len(BEFORE)] == BEFORE
    assert desk.ledger()[len(BEFORE)]["detail"]["torn_bytes"] == 11
    folder = desk_of_files(tmp_path / "changed")
    (folder / "ledger.jsonl").write_text(FILES["ledger.jsonl"].replace("prioritise", "block"))
    with pytest.raises(DeskError, match=r"ledger\.jsonl, line 2: not as it was written"):
        open_desk(folder)
    assert (folder / "ledger.jsonl").exists()
    (folder / "ledger.jsonl").write_text(FILES["ledger.jsonl"])
    (folder / "state.json").write_text("{")
    with pytest.raises(DeskError, match=r"state\.json, outbox or inbox cannot be read"):
        open_desk(folder)
    (folder / "state.json").write_text(FILES["state.json"])
    is_whole(open_desk(folder))


def test_a_ledger_that_an_earlier_version_writes_afterwards_is_refused(tmp_path: Path) -> None:
    folder = desk_of_files(tmp_path / "d")
    open_desk(folder)
    (folder / "ledger.jsonl").write_text("{}\n")
    with pytest.raises(DeskError, match="written by an earlier Stillwatch after this desk went over"):
        open_desk(folder)


def test_a_key_that_others_can_read_stops_before_anything_is_changed(tmp_path: Path) -> None:
    folder = desk_of_files(tmp_path / "d")
    (folder / "lab.key").chmod(0o644)
    with pytest.raises(DeskError, match="chmod 600"):
        open_desk(folder)
    assert (folder / "ledger.jsonl").exists()
    assert not (folder / "desk.db").exists()


def test_persons_of_before_become_known_to_the_hub_by_their_own_keys(tmp_path: Path) -> None:
    """Three persons in the old policy: two are the first that the hub hears of, the third takes a second hand."""
    folder, keys = desk_of_files(tmp_path / "d"), [Ed25519PrivateKey.generate() for _ in range(2)]
    more = [Hand(name, key) for name, key in zip(("Two", "Three"), keys, strict=True)]
    text = "".join(f'\n[[people]]\nname = "{h.name}"\nroles = ["release"]\npublic_key = "{h.public}"\n' for h in more)
    with (folder / "policy.toml").open("a") as f:
        f.write(text)
    desk = open_desk(folder)
    introduce(desk, OLD_COUNSEL, NOW)
    introduce(desk, OLD_COUNSEL, NOW)
    desk.remember(persons_told=["http://hub.example", 1])
    for hand in more:
        with pytest.raises(DeskError, match="does not know this person of an earlier version"):
            introduce(desk, hand, NOW)
        assert enrol(desk, hand, ("release",), NOW, by=OLD_COUNSEL) is False
    standing = wire_persons.fold(statements(desk), {desk.member: desk.key.public_key()})
    assert len(standing) == 3
    remove(desk, "Three", NOW, more[0])
    assert wire_persons.fold(statements(desk), {desk.member: desk.key.public_key()})
