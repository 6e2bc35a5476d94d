"""Matching at quorum: what each member is told and when, what probing costs, and what nobody else can see of it."""

from __future__ import annotations

import json
import zlib
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from prometheus_client import generate_latest
from typer.testing import CliRunner

import stillwatch.share.release as door
from stillwatch.cli.main import app
from stillwatch.share.hub import quorum
from stillwatch.share.hub.database import HubError
from stillwatch.share.hub.server import Hub, Limits
from stillwatch.share.hub.tables import batches
from stillwatch.share.tokens import seal
from tests.share.hub.conftest import Exchange, Lab
from tests.share.hub.matching import EPOCH, batch, garbage, public, push, released, send, signed, tag_of, tokens, told, withdraw
from tests.share.hub.samples import TODAY, statements_of

MATCHED = {"at_least": 3, "state": "matched", "released": False, "months": None}
GONE = {**MATCHED, "state": "withdrawn"}
SECRET = "card-fingerprint-of-a-real-person"


def labs(exchange: Exchange) -> list[Lab]:
    return [exchange.labs[n] for n in "abc"]


def more(exchange: Exchange, name: str, owner: str | None = None) -> Lab:
    """Another lab of the exchange."""
    with exchange.db.write() as c:
        lab = Lab(name, Ed25519PrivateKey.from_private_bytes(name.encode().ljust(32)), f"token-{name}")
        exchange.db.enrol(c, name, owner=owner or name, role="security", token=lab.token, public=lab.key.public_key(), now=1)
        exchange.db.allow(c, name, exchange.collection, can_read=True, can_write=True, now=1)
        exchange.db.state_persons(c, name, statements_of(lab.key), 1)
    return lab


def log_kinds(exchange: Exchange) -> list[str]:
    with exchange.db.read() as c:
        return [json.loads(r.entry)["kind"] for r in exchange.db.entries(c, 0, exchange.db.log_size(c))]


def test_only_contributors_are_told_only_at_quorum_and_only_after_the_day(exchange: Exchange) -> None:
    a, b, c = labs(exchange)
    d = more(exchange, "d")
    with exchange.client() as t:
        for lab in (a, b, c):
            answer = send(t, lab, batch(lab, ["shared", f"only-{lab.name}"]))
            assert (answer.status_code, answer.json()) == (202, {"taken": 64})  # padding included, and nothing of a match
            assert told(t, lab) == {}
        send(t, a, batch(a, ["shared"]))  # twice by one is still one
        exchange.night()
        for lab in (a, b, c):
            assert told(t, lab) == {tag_of("shared"): MATCHED}
        assert told(t, d) == {}


def test_below_three_owners_nobody_is_told_and_accounts_of_one_owner_count_once(exchange: Exchange) -> None:
    a, b, c = labs(exchange)
    sister = more(exchange, "sister", owner="b")
    with exchange.client() as t:
        for lab in (a, b, sister):
            send(t, lab, batch(lab, ["x"]))
        exchange.night()
        assert [told(t, lab) for lab in (a, b, sister)] == [{}, {}, {}]
        send(t, c, batch(c, ["x"], today=day(exchange)))
        exchange.night()
        assert all(told(t, lab) for lab in (a, b, sister, c))


def day(exchange: Exchange) -> date:
    return datetime.fromtimestamp(exchange.now[0], UTC).date()


def test_a_probe_learns_nothing_before_its_victim_and_leaves_a_signed_trace(exchange: Exchange) -> None:
    """A02: one guess, read the answer, take it back; or replace it by a garbage share."""
    victim, accomplice, prober = labs(exchange)
    guess = "domain acme-customer.example"
    with exchange.client() as t:
        send(t, victim, batch(victim, [guess, "other"]))
        send(t, accomplice, batch(accomplice, [guess]))
        hit, miss = send(t, prober, batch(prober, [guess])), send(t, prober, batch(prober, ["domain gmail.example"]))
        assert hit.json() == miss.json() == {"taken": 64}
        assert withdraw(t, prober, [guess]).json() == withdraw(t, prober, ["nothing"]).json() == {"withdrawn": 1}
        exchange.night()
        assert [told(t, lab) for lab in (victim, accomplice, prober)] == [{}, {}, {}]
        # Whoever wants to know must let the victim know, and what it sends is kept whole with its signature.
        send(t, prober, batch(prober, [guess], today=day(exchange)))
        exchange.night()
        assert told(t, victim) == told(t, prober) == {tag_of(guess): MATCHED}
        send(t, prober, signed(prober, [garbage(prober, guess)], today=day(exchange)))
        exchange.night()
        assert told(t, victim) == {tag_of(guess): MATCHED}  # a garbage share undoes nothing
        withdraw(t, prober, [guess])
        exchange.night()
        assert told(t, victim) == told(t, accomplice) == told(t, prober) == {tag_of(guess): GONE}
    with exchange.db.read() as c:
        kept = list(c.execute(sa.select(batches).where(batches.c.member == "c", batches.c.kind == "batch").order_by(batches.c.number)))
    assert len(kept) == 4
    for row in kept:
        release = door.reopen(json.loads(zlib.decompress(row.body)))
        prober.key.public_key().verify(bytes.fromhex(row.signature), seal.batch_bytes(release, row.holder, row.quorum))
    kinds = log_kinds(exchange)
    assert kinds.count("tokens") == 6
    assert kinds.count("tokens-withdrawn") == 3


def test_a_garbage_share_before_or_after_the_good_one_undoes_no_answer(exchange: Exchange) -> None:
    a, b, c = labs(exchange)
    with exchange.client() as t:
        send(t, c, signed(c, [garbage(c, "x")]))
        for lab in (a, b, c):
            send(t, lab, batch(lab, ["x"]))
        exchange.night()
        assert told(t, a) == {tag_of("x"): MATCHED}
        for _ in range(2):
            send(t, c, signed(c, [garbage(c, "x")], today=day(exchange)))
            exchange.night()
            assert told(t, a) == told(t, c) == {tag_of("x"): MATCHED}


def test_a_bad_share_does_not_shut_the_honest_out(exchange: Exchange) -> None:
    a, b, c = labs(exchange)
    liar = more(exchange, "d")
    with exchange.client() as t:
        send(t, liar, signed(liar, [garbage(liar, "x")]))
        for lab in (a, b, c):
            send(t, lab, batch(lab, ["x"]))
        exchange.night()
        assert all(told(t, lab) == {tag_of("x"): MATCHED} for lab in (a, b, c))
        assert told(t, liar) == {}


def test_what_was_withdrawn_or_replaced_stays_spent(url: str, make_exchange: Any) -> None:
    """A03: 118,800 traits in 18 s of a quota of 100,000, by taking them back."""
    exchange = make_exchange(url, requests=1e6, burst=1e6, tokens_a_day=200)
    a = exchange.labs["a"]
    with exchange.client() as t:
        for n in range(3):
            assert send(t, a, batch(a, ["same"])).status_code == 202
            assert withdraw(t, a, ["same"]).status_code == 200
            with exchange.db.read() as c:
                assert exchange.hub.matching.spent(c, "a", "payment", int(exchange.now[0] * 1e6)) == 64 * (n + 1)
        answer = send(t, a, batch(a, ["same"]))
        assert answer.status_code == 429
        assert "192 traits" in answer.text
        exchange.night()  # the run itself frees nothing: the quota is of any 24 hours
        exchange.now[0] -= 3600
        assert send(t, a, batch(a, ["new"], today=TODAY)).status_code == 429
        exchange.now[0] += 3601
        assert send(t, a, batch(a, ["new"], today=day(exchange))).status_code == 202
        used = generate_latest(exchange.hub.registry).decode()
    assert 'stillwatch_hub_tokens_quota_used{member="a",trait="payment"} 0.32' in used
    assert 'stillwatch_hub_matching_alarms_total{member="a",why="quota"} 2.0' in used


def test_a_member_that_may_only_read_matches_nothing(exchange: Exchange) -> None:
    """A19"""
    reader, a, b, c = exchange.labs["reader"], *labs(exchange)
    with exchange.client() as t:
        assert send(t, reader, batch(reader, ["x"])).status_code == 403
        assert withdraw(t, reader, ["x"]).status_code == 403
        assert t.get("/hub/answers/", headers=reader.headers).status_code == 403
        assert send(t, exchange.labs["operator"], batch(exchange.labs["operator"], ["x"])).status_code == 403
        for lab in (a, b, c):
            send(t, lab, batch(lab, ["x"]))
        with exchange.db.write() as conn:  # the right is asked again when tags are joined
            exchange.db.allow(conn, "c", exchange.collection, can_read=True, can_write=False, now=2)
        exchange.night()
        assert told(t, a) == {}


@pytest.mark.parametrize("least", [0, 1])
def test_a_hub_does_not_serve_below_two(light: Exchange, least: int) -> None:
    """A16"""
    with pytest.raises(HubError, match="at least 2"):
        Hub(light.db, origin="hub.example/log", key=light.hub.key, limits=Limits(quorum=least))
    with pytest.raises(ValueError, match="one share would be the secret"):
        tokens(light.labs["a"], ["x"], least)


def test_answers_tell_neither_who_nor_how_many(exchange: Exchange) -> None:
    """P11: marks made of keys were listed, one a contributor."""
    a, b, c = labs(exchange)
    with exchange.client() as t:
        for lab in (a, b, c):
            send(t, lab, batch(lab, ["three", "all"]))
        others = [more(exchange, n) for n in "defg"]
        for lab in others:
            send(t, lab, batch(lab, ["all"]))
        exchange.night()
        answers = told(t, a)
        assert answers[tag_of("three")] == answers[tag_of("all")] == MATCHED
        raw = t.get("/hub/answers/", headers=a.headers).text
        keys = t.get("/hub/keys/", headers=a.headers).text
        assert not [lab.id for lab in (b, c, *others) if lab.id in raw]
        assert "campaign--" not in raw
        assert tag_of("all") not in keys
        # The numbers are each member's own: they do not count others' answers.
        seqs = {lab.name: [x["seq"] for x in t.get("/hub/answers/", headers=lab.headers).json()["answers"]] for lab in (a, *others)}
        assert seqs["a"] == [seqs["d"][0], seqs["d"][0] + 1]


def test_of_released_campaigns_the_hub_tells_what_its_records_say_and_only_of_the_first(exchange: Exchange) -> None:
    a, b, c = labs(exchange)
    d = more(exchange, "d")
    with exchange.client() as t:
        push(t, exchange, b, b.signed())
        push(t, exchange, d, d.signed(40))
        for lab, context in ((a, None), (b, released(b)), (c, None), (d, released(d, 40))):
            send(t, lab, batch(lab, ["x"], context=context))
        exchange.night()
        months = [released(b).first.isoformat()[:7], released(b).last.isoformat()[:7]]
        seen = {**MATCHED, "released": True, "months": months}
        # Each is told of the first two beside itself: a fourth changes nothing for the three.
        assert told(t, a) == told(t, c) == told(t, d) == {tag_of("x"): seen}
        assert told(t, b) == {tag_of("x"): MATCHED}


@pytest.mark.parametrize("what", ["another's campaign", "not at the hub", "other days", "a suspicion of another day", "retracted"])
def test_a_context_that_no_record_bears_out_counts_for_nothing(exchange: Exchange, what: str) -> None:
    a, b, c = labs(exchange)
    other = TODAY.replace(day=1)
    context = {
        "another's campaign": released(b),
        "not at the hub": released(a, 7),
        "other days": seal.Context(released(a).campaign, other, other),
        "a suspicion of another day": seal.Context(seal.SUSPICION, other, TODAY),
        "retracted": released(a),
    }[what]
    with exchange.client() as t:
        push(t, exchange, a, a.signed())
        push(t, exchange, b, b.signed())
        if what == "retracted":
            assert t.delete(f"/api/collections/{exchange.collection}/objects/{a.release().id}/", headers=a.headers).status_code == 200
        send(t, a, batch(a, ["x"], context=context))
        for lab in (b, c):
            send(t, lab, batch(lab, ["x"]))
        exchange.night()
        assert [told(t, lab) for lab in (a, b, c)] == [{}, {}, {}]
        send(t, a, batch(a, ["x"], today=day(exchange)))
        exchange.night()
        assert told(t, b) == {tag_of("x"): MATCHED}


def test_the_log_is_the_same_whether_something_matched_or_not(light: Exchange) -> None:
    """One entry a day of one size; reading one's answers is an entry, found or not, and once a run."""
    a, b, c = labs(light)
    with light.client() as t:
        sizes, kinds = [], []
        for same in (True, False):
            before = len(log_kinds(light))
            for lab in (a, b, c):
                send(t, lab, batch(lab, ["x"] if same else [lab.name], today=day(light)))
            light.night()
            for lab in (a, b, c):
                told(t, lab)
                told(t, lab, 1)
            with light.db.read() as conn:
                rows = light.db.entries(conn, before, light.db.log_size(conn))
            kinds.append([k for k in log_kinds(light)[before:] if k != "key-holder-key"])
            sizes.append([len(r.entry) for r in rows if b'"key-holder-key"' not in r.entry])
        assert kinds[0] == kinds[1] == ["tokens"] * 3 + ["quorum"] + ["answers-read"] * 3
        assert sizes[0] == sizes[1]
        for n in range(3):
            light.night()
            assert log_kinds(light).count("quorum") == 3 + n
        tag = tag_of("x")
        for path in ("/log/mine/", "/hub/keys/", "/hub/tokens/", "/log/tile/entries/000.p/1/"):
            assert tag not in t.get(path, headers=light.labs["reader"].headers).text


def test_batches_that_are_not_in_order_are_refused(light: Exchange) -> None:
    a, b = light.labs["a"], light.labs["b"]
    good = batch(a, ["x"])
    stale = signed(a, tokens(a, ["x"]), epoch="2026q1")
    old = batch(a, ["x"], today=TODAY.replace(day=20))
    with light.client() as t:
        for who, body in (
            (b, good), (a, {**good, "signature": "00" * 64}), (a, {**good, "signature": "zz"}), (a, {**good, "x": 1}), (a, {}), (a, 7), (a, {"document": 7, "signature": ""}),
            (a, {**good, "quorum": 2}), (a, {**good, "quorum": True}), (a, {**good, "holder": "00" * 32}), (a, {**good, "holder": 7}), (a, stale), (a, old),
            (a, {**good, "document": json.loads(a.release().canonical)}), (a, batch(a, ["x"], quorum=2)), (a, signed(a, tokens(a, ["x"]), pad=False)),
            (a, signed(a, [*tokens(a, ["x"]), *seal.padding(0)], pad=False)),
        ):  # fmt: skip
            answer = send(t, who, body)
            assert answer.status_code == 422, (body, answer.text)
        assert send(t, a, good).status_code == 202
        for tags in (None, "x", [1], ["short"], ["Z" * 32]):
            assert t.post("/hub/tokens/withdraw/", headers=a.headers, content=json.dumps({"tags": tags})).status_code == 422
        assert t.get("/hub/answers/?after=x", headers=a.headers).status_code == 400


def test_the_key_holders_key_is_pinned_by_the_first_batch(exchange: Exchange) -> None:
    a, b, _ = labs(exchange)
    with exchange.client() as t:
        other = signed(b, tokens(b, ["x"]), holder=seal.key_digest(public("network")))
        assert t.get("/hub/tokens/", headers=a.headers).json()["keys"] == []
        assert send(t, a, batch(a, ["x"])).status_code == 202
        refused = send(t, b, other)
        assert refused.status_code == 409
        assert "compare keys" in refused.text
        (pin,) = t.get("/hub/tokens/", headers=b.headers).json()["keys"]
        assert (pin["trait"], pin["epoch"], pin["key"]) == ("payment", EPOCH, seal.key_digest(public()))
        assert log_kinds(exchange)[pin["entry"]] == "key-holder-key"
        # A liar that was first blocks nobody for longer than until it is shut out.
        with exchange.db.write() as c:
            exchange.db.revoke(c, "a", 5)
        assert send(t, b, other).status_code == 202
        (pin,) = t.get("/hub/tokens/", headers=b.headers).json()["keys"]
        assert pin["key"] == seal.key_digest(public("network"))


def test_a_member_cannot_look_up_a_trait_that_it_did_not_send(light: Exchange) -> None:
    """No address of the hub answers to a tag; and what is given out holds none but one's own."""
    c, tag = light.labs["reader"], tag_of(SECRET)
    with light.client() as t:
        for lab in labs(light):
            send(t, lab, batch(lab, [SECRET]))
        light.night()
        for path in (
            f"/hub/answers/{tag}/", f"/hub/tokens/{tag}/", f"/hub/answers/?tag={tag}", "/hub/tokens/", "/hub/answers/", "/log/mine/", "/hub/keys/",
            "/api/collections/signals/objects/",
        ):  # fmt: skip
            assert tag not in t.get(path, headers=c.headers).text


@pytest.mark.parametrize("at", [1, 2, 3, 4, 5])
def test_a_run_that_breaks_is_gone_on_with(exchange: Exchange, at: int, monkeypatch: pytest.MonkeyPatch) -> None:
    for lab in labs(exchange):
        with exchange.client() as t:
            send(t, lab, batch(lab, ["x"]))
    exchange.now[0] += 86_400
    steps, matching = [0], exchange.hub.matching
    whole = type(matching)._step

    def breaking(self: Any, boundary: int, work: Any) -> bool:
        def broken(c: Any) -> bool:
            done: bool = work(c)
            steps[0] += 1
            if steps[0] == at:
                raise KeyboardInterrupt
            return done

        return whole(self, boundary, broken)

    monkeypatch.setattr(type(matching), "_step", breaking)
    with pytest.raises(KeyboardInterrupt):
        matching.settle(int(exchange.now[0] * 1e6))
    monkeypatch.setattr(type(matching), "_step", whole)
    with exchange.client() as t:
        exchange.hub.settle()
        assert all(told(t, lab) == {tag_of("x"): MATCHED} for lab in labs(exchange))
    assert log_kinds(exchange).count("quorum") == 1


def test_much_that_matches_nothing_raises_an_alarm(light: Exchange, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(quorum, "MANY", 60)
    a = light.labs["a"]
    with light.client() as t:
        send(t, a, batch(a, ["guess-1"]))
        light.night()
        metrics = generate_latest(light.hub.registry).decode()
    assert 'stillwatch_hub_tokens_unmatched{member="a"} 1.0' in metrics
    assert 'stillwatch_hub_matching_alarms_total{member="a",why="matches nothing"} 1.0' in metrics


def test_old_tags_are_forgotten_and_their_batches_are_not(light: Exchange) -> None:
    with light.client() as t:
        for lab in labs(light):
            send(t, lab, batch(lab, ["x"]))
        light.night()
        with light.db.write() as c:
            assert light.hub.matching.sweep(c, int((light.now[0] + 91 * 86_400) * 1e6)) == 3 * 64
            assert c.execute(sa.select(sa.func.count()).select_from(batches)).scalar() == 3
        assert told(t, light.labs["a"]) == {}


def test_padding_cannot_be_told_from_traits(light: Exchange) -> None:
    """Each field of either has the same form; none is sent twice; and the tags of a batch are in the order of their bytes."""
    real, fill = tokens(light.labs["a"], [f"v{n}" for n in range(64)]), seal.padding(70)
    assert len(fill) == 58
    assert {(len(x.tag), len(x.share), len(x.sealed)) for x in [*real, *fill]} == {(32, 64, 96)}
    order = 2**252 + 27742317777372353535851937790883648493
    assert all(int.from_bytes(bytes.fromhex(x.share), "little") < order for x in [*real, *fill])
    many = [x.tag for _ in range(50) for x in seal.padding(1)]
    assert len(set(many)) == len(many)


def test_answers_come_more_often_where_the_operator_says_so(tmp_path: Path, make_exchange: Any) -> None:
    exchange = make_exchange(f"sqlite:///{tmp_path / 'q.db'}", requests=1e6, burst=1e6, answer_every=60)
    with exchange.client() as t:
        for lab in labs(exchange):
            send(t, lab, batch(lab, ["x"]))
        assert t.get("/hub/tokens/", headers=exchange.labs["a"].headers).json()["every"] == 60
        exchange.now[0] += 61
        exchange.hub.settle()
        assert told(t, exchange.labs["a"]) == {tag_of("x"): MATCHED}


def test_answers_that_come_within_a_minute_are_for_loopback_alone(tmp_path: Path) -> None:
    words = ["hub", "serve", "--db", str(tmp_path / "hub.db"), "--key", str(tmp_path / "k"), "--host", "0.0.0.0", "--answer-every", "59"]
    done = CliRunner().invoke(app, words)
    assert done.exit_code != 0
    assert "at least 60 beyond loopback" in done.output + done.stderr
    assert not (tmp_path / "hub.db").exists()
