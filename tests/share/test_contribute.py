"""Traits on their way from a desk to the hub's matching and back: what a member's client refuses, sends, takes back and shows."""

from __future__ import annotations

import csv
import json
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

import stillwatch.share.release as door
from stillwatch.cli.main import app
from stillwatch.share.desk import sharing
from stillwatch.share.desk.desk import DeskError
from stillwatch.share.desk.traits import traits_of
from stillwatch.share.hub.client import HubClient
from stillwatch.share.keyholder.client import KeyHolderClient
from stillwatch.share.keyholder.server import KeyHolder
from stillwatch.share.net.access import ClientError
from stillwatch.share.tokens import seal
from stillwatch.share.wire import stix as wire
from tests.share.desk import labs as labs_at_one_hub
from tests.share.hub.samples import NOW, TODAY, campaign_release, sealed, statements_of

DAY = 86400.0
SUSPECT = seal.Context(seal.SUSPICION, TODAY, TODAY)


class Labs(labs_at_one_hub.Labs):
    """Three desks joined to one hub, joined as the command line leaves them, with traits to send it."""

    def __init__(self, home: Path, served: Any) -> None:
        super().__init__(home, served)
        for name, hub in self.hubs.items():
            self.desks[name].remember(hub=hub.url, token=hub.token, log=hub.directory().log)

    def released(self, name: str) -> seal.Context:
        """A campaign of the lab's that is at the hub."""
        desk = self.desks[name]
        release = campaign_release(desk.member)
        self.hubs[name].state_persons(statements_of(desk.key))
        assert not self.hubs[name].push(sealed(wire.objects(release), desk.key)).failures
        document = release.document
        assert isinstance(document, door.Campaign)
        return seal.Context(release.id, date.fromisoformat(document.first_day), date.fromisoformat(document.last_day))

    def contribute(self, name: str, context: seal.Context, values: dict[str, list[str]], **more: Any) -> dict[str, int]:
        holders = more.pop("holders", [self.holders[name]])
        return sharing.contribute(self.desks[name], context, values, 6, self.hubs[name], holders, self.now[0], **more)

    def night(self) -> None:
        self.now[0] += DAY
        self.hub.settle()

    def shown(self, name: str) -> str:
        return CliRunner().invoke(app, ["hub", "answers", "--desk", str(self.desks[name].folder)]).stdout


@pytest.fixture
def labs(tmp_path: Path, served: Any) -> Labs:
    return Labs(tmp_path, served)


def test_traits_are_matched_through_blinding_and_go_with_the_retraction(labs: Labs, tmp_path: Path) -> None:
    names = [f"acct-{i}" for i in range(6)]
    for lab, cards in (
        ("a", ["CARD-1", " card-2", "only-a"]),
        ("b", ["card-1 ", "\uff23ARD-2", "only-b"]),
        ("c", ["card-1", "card-2", "only-c"]),
    ):
        with (tmp_path / f"{lab}.csv").open("w", newline="") as f:
            out = csv.writer(f)
            out.writerow(["account", "email", "payment_fingerprint"])
            for i, n in enumerate([*names, "bystander"]):
                out.writerow(
                    [n, f"u{i}@{'ring.example' if i < 3 else f'mail{i}.example'}", "bystander-card" if n == "bystander" else cards[i % 3]]
                )
    contexts, told = {}, {}
    for lab in "abc":
        values, _ = traits_of(tmp_path / f"{lab}.csv", names, tmp_path / "no.key")
        assert "bystander-card" not in values["payment"]
        assert values["registration"] == ["domain ring.example"]
        contexts[lab] = labs.released(lab)
        told[lab] = labs.contribute(lab, contexts[lab], values)
        assert labs.hubs[lab].answers(0) == []
    assert told["a"] == told["c"] == {"payment": 3, "registration": 1}
    labs.night()
    for lab in "abc":
        answers = labs.hubs[lab].answers(0)
        assert len(answers) == 3
        assert all((a["at_least"], a["state"], a["released"]) == (3, "matched", True) for a in answers)
    assert "2 payment traits seen by at least 3 members; 2 in a partner's release" in labs.shown("a")
    sharing._withdraw_traits(labs.desks["a"], labs.hubs["a"], contexts["a"].campaign, labs.now[0])
    assert "tags" not in labs.desks["a"].state()
    assert labs.desks["a"].state()["padding"] == {}
    labs.night()
    assert {a["state"] for lab in "abc" for a in labs.hubs[lab].answers(0)} == {"withdrawn"}
    assert "2 payment traits were at quorum and were taken back since" in labs.shown("b")


def test_withdrawal_does_not_tell_padding_from_traits(labs: Labs) -> None:
    context = labs.released("a")
    labs.contribute("a", context, {"payment": ["x", "y"]})
    sharing._withdraw_traits(labs.desks["a"], labs.hubs["a"], context.campaign, NOW)
    (entry,) = (e["detail"] for e in labs.hubs["a"].mine() if e["entry"]["kind"] == "tokens-withdrawn")
    assert entry["tokens"] == 64  # all of the batch, so none is told apart


def test_a_quorum_below_two_or_below_what_was_seen_is_refused_whatever_the_hub_says(labs: Labs, monkeypatch: pytest.MonkeyPatch) -> None:
    """A16: a hub that answers with a quorum of 1 would be sent the secret itself."""
    honest = HubClient.directory

    def send(quorum: int, **more: Any) -> Any:
        monkeypatch.setattr(HubClient, "directory", lambda self: replace(honest(self), quorum=quorum))
        return labs.contribute("a", SUSPECT, {"payment": ["x"]}, **more)

    for quorum in (1, 0, -3):
        with pytest.raises(DeskError, match="a share of it is the secret itself"):
            send(quorum)
        with pytest.raises(DeskError, match="a share of it is the secret itself"):
            send(quorum, accept_quorum=quorum)
    assert send(3) == {"payment": 1}
    with pytest.raises(DeskError, match="fell from 3 to 2"):
        send(2)
    with pytest.raises(ClientError, match="another quorum than this hub's"):  # the hub is honest here: it is still 3
        send(2, accept_quorum=2)
    assert "quorum-accepted" in [e["kind"] for e in labs.desks["a"].ledger()]
    with labs.db.read() as c:
        assert "tokens" in [json.loads(r.entry)["kind"] for r in labs.db.entries(c, 0, labs.db.log_size(c))]


def test_a_key_holder_s_key_that_the_log_does_not_name_is_refused(labs: Labs, tmp_path: Path, served: Any) -> None:
    other = KeyHolder(tmp_path / "other", clock=lambda: NOW)
    other.enrol("b", "blind-b")
    labs.contribute("a", SUSPECT, {"payment": ["x"]})
    with pytest.raises(DeskError, match="names another key"):
        labs.contribute("b", SUSPECT, {"payment": ["x"]}, holders=[KeyHolderClient(served(other.app()), "blind-b")])


def test_a_hub_that_says_another_key_than_its_log_is_caught(labs: Labs, monkeypatch: pytest.MonkeyPatch) -> None:
    labs.contribute("a", SUSPECT, {"payment": ["x"]})
    log = labs.hubs["a"].directory().log
    whole = HubClient.terms
    known = labs.hubs["a"].holder_key("payment", "2026q4", log)
    assert known is not None
    for field, value in (("key", "00" * 32), ("entry", 0), ("entry", 10**6), ("salt", "00"), ("salt", "zz")):

        def lying(self: HubClient, field: str = field, value: Any = value) -> Any:
            told = whole(self)
            return {**told, "keys": [{**k, field: value} for k in told["keys"]]}

        monkeypatch.setattr(HubClient, "terms", lying)
        with pytest.raises(ClientError):
            labs.hubs["b"].holder_key("payment", "2026q4", log)
