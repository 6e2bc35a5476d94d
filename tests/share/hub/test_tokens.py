"""Tokens: the standard's vectors, another implementation as oracle, and what each party can and cannot learn."""

from __future__ import annotations

import ctypes
import json
import sqlite3
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import date
from pathlib import Path
from typing import Any

import httpx2
import pytest
import sqlalchemy as sa
from hypothesis import given, settings
from hypothesis import strategies as st
from starlette.testclient import TestClient
from voprf import ristretto as oracle

from stillwatch.share.hub.client import HubClient
from stillwatch.share.hub.tables import members, tokens
from stillwatch.share.keyholder import server
from stillwatch.share.keyholder.client import KeyHolderClient, tokens_of
from stillwatch.share.keyholder.server import KeyHolder, KeyHolderError, deal
from stillwatch.share.net.access import ClientError
from stillwatch.share.tokens import oprf, seal, sodium
from tests.share.hub.matching import EPOCH, SEED, released, signed
from tests.share.hub.samples import NOW

VECTORS = json.loads((Path(__file__).parent / "vectors-rfc9497.json").read_text())["vectors"]
SECRET = "card-fingerprint-of-a-real-person"


def unhex(values: list[str]) -> bytes:
    return bytes.fromhex("".join(values))


@pytest.mark.parametrize("v", VECTORS)
def test_the_rfc_s_vectors(v: dict[str, Any]) -> None:
    secret, public = oprf.derive_key(SEED, b"test key", v["mode"])
    assert secret.hex() == v["secret"]
    assert public.hex() == v.get("public", public.hex())
    items = [bytes.fromhex(x) for x in v["input"]]
    blinds, blinded = oprf.blind(items, v["mode"], [bytes.fromhex(b) for b in v["blind"]])
    assert blinded == unhex(v["blinded"])
    evaluated = oprf.evaluate(secret, blinded)
    assert evaluated == unhex(v["evaluated"])
    assert [t.hex() for t in oprf.finalize(items, blinds, evaluated)] == v["output"]
    if "proof" in v:
        assert oprf.prove(secret, public, blinded, evaluated, r=bytes.fromhex(v["r"])).hex() == v["proof"]
        oprf.verify(public, blinded, evaluated, bytes.fromhex(v["proof"]))


@settings(max_examples=20)
@given(st.lists(st.binary(min_size=1, max_size=60), min_size=1, max_size=5), st.binary(min_size=32, max_size=32))
def test_another_implementation_agrees_both_ways(items: list[bytes], seed: bytes) -> None:
    theirs = oracle.Evaluator.from_seed(seed, b"info")
    secret, public = oprf.derive_key(seed, b"info", oprf.VOPRF)
    # our client, their server; a batch is its proof and then its elements
    blinds, blinded = oprf.blind(items)
    answer = theirs.evaluate_batch([oracle.BlindedInput.deserialize(blinded[i : i + 32]) for i in range(0, len(blinded), 32)]).serialize()
    proof, evaluated = answer[:64], answer[64:]
    oprf.verify(public, blinded, evaluated, proof)
    ours = oprf.finalize(items, blinds, evaluated)
    # their client, our server
    pairs = [oracle.Client.blind(x) for x in items]
    asked = b"".join(b.serialize() for _, b in pairs)
    back = oprf.evaluate(secret, asked)
    output = oracle.VerifiableBatchOutput.deserialize(oprf.prove(secret, public, asked, back) + back)
    theirs_too = oracle.Client.finalize_batch([c for c, _ in pairs], output, oracle.PublicKey.deserialize(public))
    assert [bytes(t) for t in theirs_too] == ours


def test_wrong_answers_are_caught() -> None:
    secret, public = oprf.derive_key(SEED, b"k", oprf.VOPRF)
    other, _ = oprf.derive_key(SEED, b"other", oprf.VOPRF)
    _, blinded = oprf.blind([b"a", b"b", b"c"])
    good = oprf.evaluate(secret, blinded)
    proof = oprf.prove(secret, public, blinded, good)
    one_wrong = good[:64] + oprf.evaluate(other, blinded[64:])
    for evaluated, p in (
        (one_wrong, proof),
        (good, proof[:-1] + bytes([proof[-1] ^ 1])),
        (good[32:] + good[:32], proof),
        (good, bytes(64)),
        (good, b""),
    ):
        with pytest.raises(oprf.ProofError):
            oprf.verify(public, blinded, evaluated, p)
    with pytest.raises(oprf.ProofError):
        oprf.verify(public, blinded, one_wrong, oprf.prove(secret, public, blinded, one_wrong))


@pytest.mark.parametrize("bad", [bytes(32), b"\xff" * 32, b"\x01" + bytes(31), b"short"])
def test_invalid_elements_are_refused(bad: bytes) -> None:
    secret, _ = oprf.derive_key(SEED, b"k", oprf.VOPRF)
    with pytest.raises(sodium.ElementError):
        oprf.evaluate(secret, bad)


@settings(max_examples=15)
@given(st.integers(1, 4), st.integers(0, 3), st.data())
def test_any_t_of_n_holders_give_the_whole_key_s_answer_and_fewer_do_not(t: int, more: int, data: st.DataObject) -> None:
    secret, public = oprf.derive_key(SEED, b"split", oprf.VOPRF)
    shares, commitments = oprf.split(secret, t, t + more)
    assert commitments[0] == public
    _, blinded = oprf.blind([b"x", b"y"])
    chosen = data.draw(st.permutations(range(1, t + more + 1)))[:t]
    for i in chosen:
        oprf.check_share(shares[i - 1], i, commitments)
        evaluated = oprf.evaluate(shares[i - 1], blinded)
        mine = oprf.public_share(i, commitments)
        oprf.verify(mine, blinded, evaluated, oprf.prove(shares[i - 1], mine, blinded, evaluated))
    parts = {i: oprf.evaluate(shares[i - 1], blinded) for i in chosen}
    assert oprf.combine(parts) == oprf.evaluate(secret, blinded)
    if t > 1:
        parts.popitem()
        assert oprf.combine(parts) != oprf.evaluate(secret, blinded)
        with pytest.raises(oprf.ProofError):
            oprf.check_share(shares[0], 2, commitments)


def test_rbcl_s_library_computes_the_same() -> None:
    """The library that PyPI brings, for machines without libsodium."""
    bundled = sodium._bundled()
    system = sodium.library()
    a, b = (ctypes.create_string_buffer(32) for _ in range(2))
    for lib, out in ((bundled, a), (system, b)):
        assert lib.crypto_core_ristretto255_from_hash(out, b"h" * 64) == 0
    assert a.raw == b.raw


@given(st.integers(1, 12))
def test_many_inverses_at_once_are_those_one_by_one(n: int) -> None:
    scalars = [sodium.random_scalar() for _ in range(n)]
    assert sodium.invert_all(scalars) == [sodium.invert(s) for s in scalars]


# The key-holder


def holder_client(served: Any, holder: KeyHolder, name: str = "a") -> KeyHolderClient:
    holder.enrol(name, f"token-{name}")
    return KeyHolderClient(served(holder.app()), f"token-{name}")


def test_whole_key_and_split_key_over_http(tmp_path: Path, served: Any) -> None:
    whole = holder_client(served, KeyHolder(tmp_path / "kh", clock=lambda: NOW))
    one, public = tokens_of(["v1", "v2"], "payment", EPOCH, [whole])
    assert tokens_of(["v2", "v1"], "payment", EPOCH, [whole], public)[0] == one[::-1]
    with pytest.raises(ClientError, match="another one than before"):
        tokens_of(["v1"], "payment", EPOCH, [whole], "00" * 32)
    folders = [tmp_path / f"holder-{i}" for i in range(3)]
    deal(folders, 2, EPOCH)
    holders = [holder_client(served, KeyHolder(f, clock=lambda: NOW)) for f in folders]
    assert tokens_of(["v1"], "payment", EPOCH, holders[:2]) == tokens_of(["v1"], "payment", EPOCH, [holders[2], holders[0]])
    with pytest.raises(ClientError, match="2 different key-holders"):
        tokens_of(["v1"], "payment", EPOCH, holders[:1])
    with pytest.raises(ClientError, match="different keys"):
        tokens_of(["v1"], "payment", EPOCH, [whole, holders[0]])


def test_a_key_holder_that_uses_another_key_is_caught(tmp_path: Path, served: Any) -> None:
    client = holder_client(served, holder := KeyHolder(tmp_path / "kh", clock=lambda: NOW))
    path = tmp_path / "kh" / f"epoch-{EPOCH}.json"
    keys = json.loads(path.read_text())
    keys["payment"]["secret"] = keys["network"]["secret"]
    path.write_text(json.dumps(keys))
    assert holder.keys(EPOCH)
    with pytest.raises(oprf.ProofError):
        tokens_of(["v"], "payment", EPOCH, [client])


def test_key_holder_refusals_quotas_and_rotation(tmp_path: Path, served: Any) -> None:
    now = [NOW]
    holder = KeyHolder(tmp_path / "kh", a_day=3, clock=lambda: now[0])
    client = holder_client(served, holder)
    headers = {"Authorization": f"Bearer {client.token}"}
    element = oprf.blind([b"x"])[1]

    def ask(body: bytes, path: str = f"/evaluate/payment/{EPOCH}/", **more: Any) -> int:
        return httpx2.post(client.url + path, content=body, headers=more.get("headers", headers)).status_code

    assert ask(element, headers={}) == 401
    assert httpx2.get(client.url + "/keys/").status_code == 401
    assert [ask(b""), ask(b"short"), ask(bytes(32))] == [400, 400, 400]
    assert ask(element, "/evaluate/nothing/2026q4/") == ask(element, "/evaluate/payment/2026q1/") == 404
    assert ask(element * 3) == 429  # the refused zero element was counted too: probing is not free
    assert ask(element * 2) == 200
    assert ask(element) == 429
    assert KeyHolder(tmp_path / "kh", a_day=3, clock=lambda: now[0]).spend("a", "payment", 1) is False  # a restart forgets nothing
    now[0] += 86_400
    assert ask(element) == 200
    before = client.keys()
    now[0] += 100 * 86_400  # 2027q1: the last quarter's keys still answer, once more
    assert set(client.keys()) == {*before, *((t, "2027q1") for t, _ in before)}
    now[0] += 90 * 86_400
    assert client.keys()
    assert holder.forget_old() == []  # the request saw to it
    assert {epoch for _, epoch in set(client.keys())} == {"2027q1", "2027q2"}
    holder.revoke("a")
    assert ask(element, "/evaluate/payment/2027q2/") == 401


def test_keys_are_destroyed_on_the_day_by_the_clock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A21: a key-holder that runs for four quarters had four on disk until it was started again."""
    monkeypatch.setattr(server, "TURN", 0.01)
    now = [NOW]
    holder = KeyHolder(tmp_path / "kh", clock=lambda: now[0])
    (tmp_path / "kh" / "epoch-2026q2.ab12.new").touch()  # what a cut of power left

    def there() -> set[str]:
        return {p.name for p in (tmp_path / "kh").glob("epoch-*")}

    with TestClient(holder.app()):
        for quarters in (["2026q4"], ["2026q4", "2027q1"], ["2027q1", "2027q2"], ["2027q2", "2027q3"]):
            expected = {f"epoch-{q}.json" for q in quarters}
            for _ in range(500):  # nobody asks for anything
                if there() == expected:
                    break
                time.sleep(0.01)
            assert there() == expected
            now[0] += 91 * 86_400


def test_a_request_destroys_old_keys_too(tmp_path: Path) -> None:
    now = [NOW]
    holder = KeyHolder(tmp_path / "kh", clock=lambda: now[0])
    with TestClient(holder.app()) as t:
        for path in ("/keys/", f"/evaluate/payment/{EPOCH}/"):
            holder.ensure_epoch(EPOCH)
            now[0] = NOW + 300 * 86_400
            assert t.request("POST" if "evaluate" in path else "GET", path).status_code == 401
            assert not (tmp_path / "kh" / f"epoch-{EPOCH}.json").exists()
            now[0] = NOW


def test_two_requests_at_the_turn_of_a_quarter_make_one_key(tmp_path: Path) -> None:
    holders = [KeyHolder(tmp_path / "kh", clock=lambda: NOW) for _ in range(8)]
    with ThreadPoolExecutor(8) as pool:
        keys = list(pool.map(lambda h: (h.ensure_epoch(EPOCH), h.keys(EPOCH)["payment"].public)[1], holders))
    assert len(set(keys)) == 1
    assert not list((tmp_path / "kh").glob("*.new"))
    with pytest.raises(KeyHolderError, match="already"):
        deal([tmp_path / "kh"], 1, EPOCH)


def test_the_key_holder_s_quota_holds_for_a_single_member_whatever_it_tries(tmp_path: Path) -> None:
    now = [NOW]
    holder = KeyHolder(tmp_path / "kh", a_day=100, clock=lambda: now[0])
    holder.enrol("a", "one")
    with ThreadPoolExecutor(8) as pool:  # at once
        assert sum(pool.map(lambda _: holder.spend("a", "payment", 7), range(40))) == 14
    holder.enrol("a", "two")  # another token
    assert not holder.spend("a", "payment", 7)
    holder.revoke("a")
    holder.enrol("a", "three")
    assert not holder.spend("a", "payment", 7)
    now[0] += 12 * 3600 + 60  # past midnight, the 24 hours are not over
    assert not holder.spend("a", "payment", 7)
    now[0] += 12 * 3600
    assert holder.spend("a", "payment", 100)


def test_stores_and_logs_hold_nothing_that_names_a_trait(
    tmp_path: Path, served: Any, make_exchange: Any, caplog: pytest.LogCaptureFixture
) -> None:
    """Hub, key-holder, their files and logs, below quorum: neither the value, nor its token, nor anything one could test a guess with alone."""
    caplog.set_level("DEBUG")
    exchange = make_exchange(f"sqlite:///{tmp_path / 'hub.db'}", requests=1e6, burst=1e6)
    a = exchange.labs["a"]
    exchange.now[0] = NOW
    holder = KeyHolder(tmp_path / "kh", clock=lambda: NOW)
    client = holder_client(served, holder)
    (token,), key = tokens_of([SECRET], "payment", EPOCH, [client])
    context = released(a)
    ours = seal.seal(token, a.id, 3, context, "payment", EPOCH)
    hub = HubClient(served(exchange.hub.app()), a.token)
    hub.send_tokens(signed(a, [ours], holder=seal.key_digest(key)))
    exchange.night()
    stored = b"".join(p.read_bytes() for home in (tmp_path / "kh", tmp_path) for p in home.glob("*") if p.is_file())
    logged = "\n".join(r.getMessage() + str(r.__dict__) for r in caplog.records).encode()
    campaign = context.campaign.partition("--")[2]
    unblinded = oprf.hash_to_group(seal.oprf_input("payment", SECRET), oprf.VOPRF)
    for needle in (
        SECRET.encode(),
        token,
        token.hex().encode(),
        unblinded,
        unblinded.hex().encode(),
        campaign.encode(),
        bytes.fromhex(campaign.replace("-", "")),
    ):
        assert needle not in stored
        assert needle not in logged
    with sqlite3.connect(tmp_path / "kh" / "quotas.db") as db:
        assert db.execute("SELECT member, trait, n FROM used").fetchall() == [("a", "payment", 1)]
    # The hub alone cannot make the tag of a guess: it lacks the key.  Without the key even the right guess gives another tag.
    wrong, _ = oprf.derive_key(b"g" * 32, f"payment|{EPOCH}".encode(), oprf.VOPRF)
    items = [seal.oprf_input("payment", SECRET)]
    blinds, blinded = oprf.blind(items)
    guess = oprf.finalize(items, blinds, oprf.evaluate(wrong, blinded))[0]
    assert seal.seal(guess, a.id, 3, context, "payment", EPOCH).tag.encode() not in stored
    assert ours.tag.encode() in stored
    # And one share does not open the seal.
    with exchange.db.read() as c:
        rows = c.execute(sa.select(tokens, members.c.owner).join(members, members.c.name == tokens.c.member)).all()
    assert len(rows) == 64
    assert seal.open_seals(rows, 1) == []


def test_epochs_are_quarters_and_the_last_one_overlaps() -> None:
    assert seal.epochs(date(2026, 11, 24)) == ("2026q4", "2026q3")
    assert seal.epochs(date(2027, 1, 1)) == ("2027q1", "2026q4")
    assert seal.epochs(date(2027, 4, 1)) == ("2027q2", "2027q1")
    assert [seal.epoch_of(date(2026, m, 1)) for m in (1, 3, 4, 12)] == ["2026q1", "2026q1", "2026q2", "2026q4"]
