"""The hub's log as a desk sees it: what contradicts itself stops pulls for good, and a disaster has one signed, accepted way on."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
import rfc8785
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from stillwatch.share.desk import sharing
from stillwatch.share.desk.desk import DeskError
from stillwatch.share.desk.people import Hand
from stillwatch.share.desk.witness import accept_restore, watch
from stillwatch.share.hub.client import HubClient
from stillwatch.share.hub.database import Database, open_database
from stillwatch.share.hub.server import Hub, Limits
from stillwatch.share.tlog import log as tree
from stillwatch.share.tlog.log import SplitView
from tests.share.desk.labs import DAY, OPS, Labs
from tests.share.hub.samples import NOW
from tests.share.release.test_door import CAMPAIGN

KEY = Ed25519PrivateKey.from_private_bytes(b"h" * 32)


@pytest.fixture
def labs(tmp_path: Path, served: Any) -> Labs:
    return Labs(tmp_path, served)


def hub_command(home: Path, *words: str) -> None:
    (home / "hub.key").write_bytes(KEY.private_bytes_raw())
    (home / "hub.key").chmod(0o600)
    done = subprocess.run([sys.executable, "-m", "stillwatch", "hub", *words], cwd=home, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def served_anew(labs: Labs, home: Path, served: Any) -> None:
    """The hub after a restart, at another address."""
    labs.db = Database(open_database(str(home / "hub.db")))
    hub = Hub(labs.db, origin="hub.example/log", key=KEY, limits=Limits(requests=1e6, burst=1e6), clock=lambda: labs.now[0])
    url = served(hub.app())
    labs.hubs = {name: HubClient(url, c.token) for name, c in labs.hubs.items()}


def tampered(told: dict[str, Any]) -> Iterator[tuple[dict[str, Any], str]]:
    """Statements that do not hold, each signed by the log's key where that is not what is wrong."""

    def signed(**values: Any) -> dict[str, Any]:
        bare = {k: v for k, v in told["detail"].items() if k != "signature"} | values
        return bare | {"signature": KEY.sign(tree.RESTORED.encode() + b"\n" + rfc8785.dumps(bare)).hex()}

    def entered(detail: dict[str, Any], **more: Any) -> dict[str, Any]:
        digest = sha256(bytes.fromhex(told["salt"]) + rfc8785.dumps(detail)).hexdigest()
        return {**told, "detail": detail, "entry": told["entry"] | {"detail": digest}, **more}

    yield {**told, "detail": told["detail"] | {"signature": "00" * 64}}, "signature does not hold"
    yield entered(signed(origin="other.example/log")), "another log"
    yield {**told, "salt": "00" * 16}, "not what the log's entry says"
    yield entered(signed(at="2030-01-01T00:00:00Z")), "not the first entry"
    yield {**told, "number": told["number"] + 1}, "not the first entry"
    yield {}, "detail"


def test_a27_a_hub_that_went_back_to_last_night_is_gone_on_with_once_a_person_accepts_it(
    labs: Labs, tmp_path: Path, served: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    labs.release("a")
    b = labs.desks["b"]
    labs.pull("b")
    with pytest.raises(DeskError, match="nothing to accept"):
        accept_restore(b, labs.hubs["b"], OPS, NOW)
    hub_command(tmp_path, "backup", "night.db", "--origin", "hub.example/log")
    lost = labs.release("a", replace(CAMPAIGN, first=CAMPAIGN.first - DAY))
    labs.pull("b")
    labs.pull("a")
    after = tmp_path / "after"  # the disaster, on another machine: the served one keeps its file open
    after.mkdir()
    hub_command(tmp_path, "backup", str(after / "hub.db"), "--origin", "hub.example/log")
    hub_command(after, "restore", str(tmp_path / "night.db"), "--origin", "hub.example/log")
    served_anew(labs, after, served)
    for _ in range(2):  # it stays so, also where nothing new is seen
        with pytest.raises(SplitView):
            labs.pull("b")
    assert [e["kind"] for e in b.ledger()].count("contradiction") == 1
    with pytest.raises(DeskError, match="nobody of that name"):
        accept_restore(b, labs.hubs["b"], Hand("Nobody", OPS.key), NOW)
    (told,) = labs.hubs["b"].restored()
    for wrong, why in tampered(told):
        with monkeypatch.context() as m:
            m.setattr(HubClient, "restored", lambda _, wrong=wrong: [wrong])
            with pytest.raises(DeskError, match=why):
                accept_restore(b, labs.hubs["b"], OPS, NOW)
    done = accept_restore(b, labs.hubs["b"], OPS, NOW)
    assert done.size < done.seen
    assert b.book.recall("ended") is None  # the log that these numbers were of is gone
    labs.pull("b")
    with pytest.raises(SplitView):  # what came before is not settled for another desk by this one
        labs.pull("a")
    accept_restore(labs.desks["a"], labs.hubs["a"], OPS, NOW)
    for r in sharing.waiting(labs.desks["a"], again=True):
        assert not sharing.send(labs.desks["a"], r.id, labs.hubs["a"], labs.now[0]).failures
    labs.pull("c")
    assert lost in {r.id for r in labs.desks["c"].inbox()}


def test_a_hub_that_went_back_and_says_nothing_or_of_another_time_is_not_gone_on_with(labs: Labs, tmp_path: Path, served: Any) -> None:
    labs.release("a")
    labs.db.close()
    before = (tmp_path / "hub.db").read_bytes()
    served_anew(labs, tmp_path, served)
    labs.pull("b")
    labs.release("a", replace(CAMPAIGN, first=CAMPAIGN.first - DAY))
    labs.pull("b")
    labs.db.close()
    for name in ("hub.db", "hub.db-wal", "hub.db-shm"):
        (tmp_path / name).unlink(missing_ok=True)
    (tmp_path / "hub.db").write_bytes(before)
    served_anew(labs, tmp_path, served)
    b = labs.desks["b"]
    with pytest.raises(SplitView):
        watch(b, labs.hubs["b"], NOW)
    with pytest.raises(DeskError, match="it has signed none"):
        accept_restore(b, labs.hubs["b"], OPS, NOW)
    (first, second) = b.book.entries("contradiction")[0]["detail"]["notes"]
    assert first != second  # both signed heads are kept, in the ledger
