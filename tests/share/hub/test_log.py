"""The log: a slow twin, another implementation, and what a member catches."""

from __future__ import annotations

import json
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
import rfc8785
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from stillwatch.share.hub.client import HubClient, read_verifier
from stillwatch.share.hub.tables import log, nodes
from stillwatch.share.tlog import log as tree
from tests.share.hub.conftest import Exchange
from tests.share.hub.samples import TODAY

KEY = Ed25519PrivateKey.from_private_bytes(b"l" * 32)


def twin(entries: list[bytes]) -> bytes:
    """Merkle tree hash as RFC 6962 section 2.1 writes it."""
    if len(entries) < 2:
        return tree.leaf_hash(entries[0]) if entries else sha256(b"").digest()
    k = 1
    while 2 * k < len(entries):
        k *= 2
    return tree.node_hash(twin(entries[:k]), twin(entries[k:]))


def grown(n: int) -> tuple[list[bytes], dict[tuple[int, int], bytes]]:
    entries, nodes = [b"%d" % i for i in range(n)], dict[tuple[int, int], bytes]()
    for i, e in enumerate(entries):
        for level, number, value in tree.appended(i, tree.leaf_hash(e), lambda at, n: nodes[at, n]):
            nodes[level, number] = value
    return entries, nodes


ENTRIES, NODES = grown(600)
ROOTS = [twin(ENTRIES[:n]) for n in range(70)]


def get(level: int, number: int) -> bytes:
    return NODES[level, number]


def fetch(path: str) -> bytes:
    kind, number, width = tree.read_tile_path(path)
    return tree.tile(int(kind), number, width, get)


def test_roots_inclusion_and_consistency_of_all_small_trees() -> None:
    for n in range(1, 40):
        assert tree.root(n, get) == ROOTS[n]
        for i in range(n):
            tree.verify_inclusion(tree.leaf_hash(ENTRIES[i]), i, n, tree.inclusion(i, n, get), ROOTS[n])
        for m in range(1, n + 1):
            tree.verify_consistency(m, n, tree.consistency(m, n, get), ROOTS[m], ROOTS[n])


@given(st.integers(1, 600), st.integers(1, 600), st.data())
def test_proofs_hold_and_nothing_else_does(a: int, b: int, data: st.DataObject) -> None:
    old, new = min(a, b), max(a, b)
    old_root, new_root = tree.root(old, get), tree.root(new, get)
    assert new_root == twin(ENTRIES[:new])
    proof = tree.consistency(old, new, get)
    tree.verify_consistency(old, new, proof, old_root, new_root)
    index = data.draw(st.integers(0, new - 1))
    path = tree.inclusion(index, new, get)
    leaf = tree.leaf_hash(ENTRIES[index])
    tree.verify_inclusion(leaf, index, new, path, new_root)
    with pytest.raises(tree.LogError):
        tree.verify_inclusion(tree.leaf_hash(b"forged"), index, new, path, new_root)
    with pytest.raises(tree.LogError):
        tree.verify_inclusion(leaf, index, new, [*path, bytes(32)], new_root)
    if old < new:
        for wrong in ([*proof, bytes(32)], proof[:-1], [bytes(32), *proof[1:]]):
            with pytest.raises(tree.LogError):
                tree.verify_consistency(old, new, wrong, old_root, new_root)
        with pytest.raises(tree.LogError):
            tree.verify_consistency(new, old, proof, new_root, old_root)
    with pytest.raises(tree.LogError):
        tree.verify_consistency(new, new, [], new_root, bytes(32))


@given(st.integers(1, 600), st.integers(1, 600))
def test_a_reader_of_tiles_sees_the_same_tree(a: int, b: int) -> None:
    old, new = min(a, b), max(a, b)
    tiles = tree.Tiles(fetch, new)
    assert tree.root(new, tiles.get) == tree.root(new, get)
    assert tree.consistency(old, new, tiles.get) == tree.consistency(old, new, get)


@given(st.integers(0, 10**12), st.integers(1, 256), st.sampled_from(["0", "3", "entries"]))
def test_tile_paths_go_both_ways(number: int, width: int, kind: str) -> None:
    assert tree.read_tile_path(tree.tile_path(kind, number, width)) == (kind, number, width)


def test_tile_paths_as_the_specification_writes_them() -> None:
    assert tree.tile_path("0", 1234067) == "tile/0/x001/x234/067"
    assert tree.tile_path("entries", 3, 7) == "tile/entries/003.p/7"
    for bad in (
        "tile/0/1",
        "tile/8/000",
        "tile/0/000.p/256",
        "tile/0/x000/000",
        "tile/0/000.p/0",
        "tile/../000",
        "tile",
        "",
        "x/0/000",
        "tile/0/001/002",
    ):
        with pytest.raises(tree.LogError):
            tree.read_tile_path(bad)


@given(st.lists(st.binary(max_size=300), max_size=20))
def test_entry_bundles_go_both_ways(entries: list[bytes]) -> None:
    data = tree.bundle(entries)
    assert tree.unbundle(data) == entries
    if data:
        with pytest.raises(tree.LogError):
            tree.unbundle(data[:-1])


def test_notes_and_cosignatures() -> None:
    text = tree.checkpoint_text("hub.example/log", 7, bytes(32))
    note = text + "\n" + tree.sign_note(text, "hub.example/log", KEY)
    assert tree.verify_note(note, "hub.example/log", KEY.public_key()).size == 7
    witness = Ed25519PrivateKey.from_private_bytes(b"w" * 32)
    note += tree.cosign(text, "lab-a", witness, 1_795_000_000)
    known = {"lab-a": witness.public_key(), "lab-b": KEY.public_key()}
    assert tree.witnesses(note, known) == {"lab-a": 1_795_000_000}
    assert read_verifier(tree.verifier_key("hub.example/log", KEY.public_key()))[0] == "hub.example/log"
    for bad in (
        note.replace("\n7\n", "\n8\n"),
        note.replace("hub.example/log\n7", "other/log\n7"),
        "",
        "a\n\n",
        text,
        note.replace("\n7\n", "\n07\n"),
    ):
        with pytest.raises(tree.LogError):
            tree.verify_note(bad, "hub.example/log", KEY.public_key())
    assert tree.witnesses(note.replace("\n7\n", "\n8\n"), known) == {}


def test_another_implementation_reads_ours() -> None:
    """aics-tlog: root, proofs, tiles, checkpoint and cosignature; it needs Python 3.12."""
    other = pytest.importorskip("aics_tlog", reason="aics-tlog is installed from Python 3.12 on")
    head = tree.root(600, get)
    theirs = other.MerkleTree(ENTRIES)
    assert theirs.root() == head
    assert theirs.inclusion_proof(77) == tree.inclusion(77, 600, get)
    assert theirs.consistency_proof(123, 600) == tree.consistency(123, 600, get)
    tiles = {tree.tile_path("0", n, w): tree.tile(0, n, w, get) for n, w in ((0, 256), (1, 256), (2, 88))} | {
        tree.tile_path("1", 0, 2): tree.tile(1, 0, 2, get)
    }
    assert other.tree_root_from_tiles(other.MemoryTileReader(tiles), 600) == head
    text, witness = tree.checkpoint_text("hub.example/log", 600, head), Ed25519PrivateKey.from_private_bytes(b"w" * 32)
    note = other.parse_note(text + "\n" + tree.sign_note(text, "hub.example/log", KEY) + tree.cosign(text, "lab-a", witness, 1_795_000_000))
    log_key = other.parse_vkey(tree.verifier_key("hub.example/log", KEY.public_key()))
    lab = other.cosignature_vkey("lab-a", witness.public_key())
    result = other.verify_checkpoint(note, log_key, [lab], 1, expected_origin="hub.example/log")
    assert result.log_ok, result
    assert result.error is None, result


# The hub's own log


def client(exchange: Exchange, t: Any, name: str) -> HubClient:
    class Through:
        def request(self, method: str, url: str, **more: Any) -> Any:
            return t.request(method, url.removeprefix("http://hub"), **more)

    return HubClient("http://hub", exchange.labs[name].token, Through())  # type: ignore[arg-type]


def test_everything_is_logged_and_each_member_reads_its_own(exchange: Exchange) -> None:
    a = exchange.labs["a"]
    with exchange.client() as t:
        mine = client(exchange, t, "a")
        mine.push([*a.signed(), {**a.signed()[0], "name": "x"}])
        assert list(mine.pull(None, mine.directory(), today=TODAY))
        kinds = [e["entry"]["kind"] for e in mine.mine()]
        assert kinds == ["member-enrolled", "key-changed", "rights-changed", "person", "person", "contribution", "read"]
        for e in mine.mine():
            body = json.dumps(e["detail"])
            assert "token" not in body
            assert exchange.labs["b"].id not in body
        found = mine.watch(None, mine.directory(), a.key, 5)
        note, head = found.note, found.head
        refused = mine.mine()[5]["detail"]["refused"]
        assert refused[0][0] == a.release().id
        # An entry's detail is the one whose salted digest is in the tree.
        for e in mine.mine():
            assert sha256(bytes.fromhex(e["salt"]) + rfc8785.dumps(e["detail"])).hexdigest() == e["entry"]["detail"]
            raw = mine.entry_of(e["number"], head.size)
            assert json.loads(raw) == e["entry"]
        assert "a" not in [json.loads(mine.entry_of(n, head.size)).get("member") for n in range(head.size)]
        assert note.startswith("hub.example/log\n")


def test_members_witness_and_others_see_it(exchange: Exchange) -> None:
    a, b = exchange.labs["a"], exchange.labs["b"]
    with exchange.client() as t:
        ca, cb = client(exchange, t, "a"), client(exchange, t, "b")
        key = ca.directory()
        seen = ca.watch(None, key, a.key, 1000).note
        ca.push(a.signed())
        head = ca.watch(seen, key, a.key, 2000).head
        assert cb.watch(None, key, b.key, 2001).cosigned == 2
        note = t.get("/log/checkpoint?witnessed", headers=b.headers).text
        assert tree.witnesses(note, {lab.id: lab.key.public_key() for lab in (a, b)}) == {a.id: 2000, b.id: 2001}
        assert tree.read_checkpoint(note).size == head.size
        for bad in ("nonsense", note.replace(str(head.size), "3"), t.get("/log/checkpoint", headers=a.headers).text):
            assert t.post("/log/checkpoint/", headers=a.headers, content=bad.encode()).status_code == 422


def test_a_hub_that_rewrites_or_forgets_history_is_caught(exchange: Exchange) -> None:
    a = exchange.labs["a"]
    with exchange.client() as t:
        mine = client(exchange, t, "a")
        key = mine.directory()
        mine.push(a.signed())
        found = mine.watch(None, key, None, 0)
        seen, head = found.note, found.head
        with exchange.db.write() as c:  # one entry is changed and the tree made anew from there
            c.execute(log.update().where(log.c.number == 2).values(entry=b"{}"))
            rows = exchange.db.entries(c, 0, head.size)
            c.execute(nodes.delete())
            for r in rows:
                made = tree.appended(r.number, tree.leaf_hash(r.entry), lambda level, n: exchange.db.node(c, level, n))
                c.execute(nodes.insert(), [{"level": x, "number": n, "hash": h} for x, n, h in made])
        with pytest.raises(tree.SplitView, match="two different trees") as caught:
            mine.watch(seen, key, None, 0)
        # Both signed heads are kept: whoever holds them can show that the hub signed two logs.
        roots = {tree.verify_note(n, "hub.example/log", exchange.hub.key.public_key()).root for n in caught.value.notes}
        assert len(roots) == 2
        mine.push(a.signed(1))
        with pytest.raises(tree.LogError, match="rewritten"):
            mine.watch(seen, key, None, 0)
        with exchange.db.write() as c:
            c.execute(log.delete().where(log.c.number >= 5))
        with pytest.raises(tree.LogError, match="went back"):
            mine.watch(seen, key, None, 0)
        with pytest.raises(tree.LogError, match="not signed"):
            mine.watch(None, replace(key, log=tree.verifier_key("hub.example/log", KEY.public_key())), None, 0)


def test_p12_a_hub_that_shows_two_members_two_logs_is_noticed_by_both(exchange: Exchange, make_exchange: Any, tmp_path: Path) -> None:
    """The hub keeps two databases, one key, and shows a the one and b the other; to hide it, it must hide their cosignatures from one another."""
    twin = make_exchange(f"sqlite:///{tmp_path / 'twin.db'}", requests=1e6, burst=1e6)
    tokens = {name: lab.token for name, lab in exchange.labs.items()}
    for name, lab in twin.labs.items():
        lab.token = tokens[name]
    with twin.db.write() as c:
        for name, token in tokens.items():
            twin.db.rotate(c, name, token, 1)
    a, b = exchange.labs["a"], exchange.labs["b"]
    with exchange.client() as ta, twin.client() as tb:
        ca, cb = client(exchange, ta, "a"), client(twin, tb, "b")
        ca.push(a.signed())
        cb.push(b.signed())
        first, second = ca.watch(None, ca.directory(), a.key, 10), cb.watch(None, cb.directory(), b.key, 10)
        assert first.majority == second.majority == 0  # one of seven each: nobody's view is borne out
        # The hub passes b's cosignature on to a, as it must where a majority is asked for.
        with twin.db.read() as c:
            size, line = twin.db.newest_cosignatures(c)[0]
        text = second.head.text
        forged = text + "\n" + tree.sign_note(text, "hub.example/log", exchange.hub.key) + line
        real = exchange.hub._cosigned

        async def passed_on(request: Any, member: Any) -> Any:
            answer = await real(request, member)
            notes = [*json.loads(answer.body)["notes"], forged]
            return type(answer)(json.dumps({"notes": notes}), media_type="application/json")

        exchange.hub._cosigned = passed_on  # type: ignore[method-assign]
    with exchange.client() as ta:
        ca = client(exchange, ta, "a")
        with pytest.raises(tree.SplitView, match="different logs") as caught:
            ca.watch(first.note, ca.directory(), a.key, 20)
        assert forged in caught.value.notes
        assert size == second.head.size


def test_a_majority_is_more_than_half_of_the_members() -> None:
    assert [tree.majority([5, 3, 9], n) for n in (1, 2, 3, 4, 5, 6)] == [9, 5, 5, 3, 3, 0]
    assert tree.majority([], 1) == 0


def test_tiles_beyond_the_log_are_not_there(light: Exchange) -> None:
    a = light.labs["a"].headers
    with light.client() as t:
        for path in (
            "tile/0/000",
            "tile/entries/000",
            "tile/1/000.p/1",
            "tile/0/x001/000",
            "tile/7/000.p/1",
            "tile/0/junk",
            "tile/x/000.p/1",
        ):
            assert t.get(f"/log/{path}", headers=a).status_code == 404, path
        assert len(t.get("/log/tile/0/000.p/3", headers=a).content) == 96
