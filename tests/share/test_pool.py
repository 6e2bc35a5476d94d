"""Pooled detection: what no lab sees alone, and what liars can and cannot do."""

from __future__ import annotations

import csv
import json
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from msgspec import structs

from stillwatch.range import allied_world, build_world, load_spec
from stillwatch.range.spec import Chat
from stillwatch.share.desk import sharing
from stillwatch.share.desk.desk import Desk, make_desk
from stillwatch.share.hub.client import HubClient
from stillwatch.share.hub.database import Database, open_database
from stillwatch.share.hub.server import Hub, Limits
from stillwatch.share.keyholder.client import KeyHolderClient
from stillwatch.share.keyholder.server import KeyHolder
from stillwatch.share.net.access import ClientError, new_token
from stillwatch.share.pool import exchange as pool
from stillwatch.share.pool.look import Look, look_with
from stillwatch.share.tokens import seal
from stillwatch.watch.campaign import score
from stillwatch.watch.campaign.classes import Group
from stillwatch.watch.campaign.classes.partners import PARTNERS_CAP
from stillwatch.watch.campaign.population import Population, Trait
from stillwatch.watch.campaign.scoring import LOCAL_FLOOR
from stillwatch.watch.flow import Progress, Settings
from tests.kit import QUIET

ROOT = Path(__file__).parents[2]
SEED = 4


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three labs, smaller than the demo's."""
    out = tmp_path_factory.mktemp("allied")
    spec = allied_world(3)
    build_world(structs.replace(spec, honest=structs.replace(spec.honest, chat=Chat(accounts=320, most=30), **QUIET)), seed=SEED, out=out)
    print(f"seed {SEED}")
    return out


class Alliance:
    """Three labs at one hub."""

    def __init__(self, home: Path, served: Any, quorum_of: int = 3) -> None:
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

        self.db = Database(open_database(str(home / "hub.db")))
        limits = Limits(requests=1e6, burst=1e6, quorum=quorum_of, answer_every=1)
        self.hub = Hub(self.db, origin="hub.example/log", key=Ed25519PrivateKey.generate(), limits=limits)
        url = served(self.hub.app())
        holder = KeyHolder(home / "kh")
        other = served(holder.app())
        self.desks: list[Desk] = []
        self.hubs: list[HubClient] = []
        self.holders: list[KeyHolderClient] = []
        for n in range(3):
            desk, token = make_desk(home / f"desk-{n}"), new_token()
            with self.db.write() as c:
                self.db.enrol(c, f"lab-{n}", owner=f"lab-{n}", role="security", token=token, public=desk.key.public_key(), now=1)
                ident = self.db.ensure_collection(c, "signals", "Signals", 1)
                self.db.allow(c, f"lab-{n}", ident, can_read=True, can_write=True, now=1)
            holder.enrol(f"lab-{n}", f"b{n}")
            self.desks.append(desk)
            self.hubs.append(HubClient(url, token))
            self.holders.append(KeyHolderClient(other, f"b{n}"))

    def send(self, n: int, settings: Settings) -> pool.Sent:
        return pool.send(settings, self.desks[n], self.hubs[n], [self.holders[n]], Progress(), time.time())

    def lie(self, n: int, values: dict[str, list[str]]) -> None:
        """Lab ``n`` submits traits that it never saw."""
        today = sharing.day_of(time.time())
        context = seal.Context(seal.SUSPICION, today, today)
        sharing.contribute(self.desks[n], context, values, 10**6, self.hubs[n], [self.holders[n]], time.time())

    def answers(self, n: int) -> dict[str, Any]:
        """What lab ``n`` is told once the time is over in which all of it was sent."""
        self.wait()
        return pool._answers(self.hubs[n])

    def wait(self) -> None:
        time.sleep(1.1)
        self.hub.settle()


def settings(world: Path, n: int, out: Path) -> Settings:
    home = world / f"lab-{n + 1}"
    return Settings([str(home / "calls.jsonl.gz")], out / f"found-{n}", home / "accounts.csv")


def truth(world: Path, n: int) -> dict[str, tuple[str, str]]:
    with (world / f"lab-{n + 1}" / "truth_accounts.csv").open() as f:
        return {r["account"]: (r["cls"], r["campaign"]) for r in csv.DictReader(f)}


def cards(world: Path, n: int) -> dict[str, str]:
    with (world / f"lab-{n + 1}" / "accounts.csv").open() as f:
        return {r["account"]: r["payment_fingerprint"] for r in csv.DictReader(f)}


@pytest.mark.slow
def test_three_labs_see_together_what_none_sees_alone(world: Path, served: Any, tmp_path: Path) -> None:
    allies = Alliance(tmp_path, served)
    for n in range(3):
        sent = allies.send(n, settings(world, n, tmp_path))
        assert sent.case.campaigns == ()
        labels = truth(world, n)
        assert sent.accounts < 0.3 * len(labels)  # suspects alone
    batches = [json.loads(r.detail) for r in _log(allies.db)]
    allies.wait()
    sizes = [d["tokens"] for d in batches if "epoch" in d and "root" in d]
    assert sizes
    assert all(s >= 64 and s & (s - 1) == 0 for s in sizes)  # padded
    for n in range(3):
        labels = truth(world, n)
        case, queue = pool.look_again(settings(world, n, tmp_path), allies.desks[n], allies.hubs[n], Progress(), time.time())
        flagged = {s.account for c in case.campaigns for s in c.streams}
        for ring in ("thin-a", "thin-b"):
            mine = {a for a, (_, c) in labels.items() if c == ring}
            assert len(flagged & mine) >= 0.5 * len(mine), ring
        assert not [a for a in flagged if not labels[a][1]]
        reason = next(r for r in case.campaigns[0].reasons if r.id == "partners")
        assert "other labs" in reason.text
        assert reason.bits <= PARTNERS_CAP
        assert sum(r.bits for r in case.campaigns[0].reasons if r.id != "partners") >= LOCAL_FLOOR
        assert (tmp_path / f"found-{n}" / "queue.json").exists()
        assert all(q.accounts >= q.shared >= 0 for q in queue)


@pytest.mark.no_cover
@pytest.mark.slow
def test_the_same_unpublished_prompts_at_several_labs_move_a_suspicion_up(served: Any, tmp_path: Path) -> None:
    """A harvester that compares teachers sends some of its prompts to every lab; its cards, addresses and names are all different.  That alone convicts nobody."""
    spec = allied_world(3)
    rings = tuple(structs.replace(r, accounts_per_card=1, addresses_per_account=1, pool=20_000, compare=0.5) for r in spec.campaigns)
    build_world(
        structs.replace(spec, honest=structs.replace(spec.honest, chat=Chat(accounts=320, most=30), **QUIET), campaigns=rings),
        seed=SEED,
        out=tmp_path / "world",
    )
    allies = Alliance(tmp_path, served)
    for n in range(3):
        assert allies.send(n, settings(tmp_path / "world", n, tmp_path)).traits["template"] > 100
    allies.wait()
    for n in range(2):
        labels = truth(tmp_path / "world", n)
        case, queue = pool.look_again(settings(tmp_path / "world", n, tmp_path), allies.desks[n], allies.hubs[n], Progress(), time.time())
        assert not [s.account for c in case.campaigns for s in c.streams if not labels[s.account][1]]
        assert queue[0].shared >= 0.5 * queue[0].accounts
        assert queue[0].shared / queue[0].accounts >= queue[-1].shared / queue[-1].accounts


def _log(db: Database) -> list[Any]:
    with db.read() as c:
        return db.entries(c, 0, db.log_size(c))


@pytest.mark.no_cover
@pytest.mark.slow
def test_a_liar_moves_nobody_whom_the_victim_does_not_suspect(world: Path, served: Any, tmp_path: Path) -> None:
    """Lab 1 claims the cards of every customer of lab 0; only those that lab 0 itself asked about are ever told of, and no honest account is touched."""
    allies = Alliance(tmp_path, served, quorum_of=2)
    labels, card = truth(world, 0), cards(world, 0)
    sent = allies.send(0, settings(world, 0, tmp_path))
    allies.lie(1, {"payment": sorted({c.casefold() for c in card.values() if c})[:4000]})
    answers = allies.answers(0)
    mine = allies.desks[0].state()["tags"]
    assert set(answers) <= set(mine)
    assert len(answers) <= sent.traits["payment"]
    case, queue = pool.look_again(settings(world, 0, tmp_path), allies.desks[0], allies.hubs[0], Progress(), time.time())
    flagged = {s.account for c in case.campaigns for s in c.streams}
    assert not [a for a in flagged if not labels[a][1]]
    assert any(q.shared for q in queue) or case.campaigns  # it does raise priorities, of suspects


@pytest.mark.no_cover
@pytest.mark.slow
def test_accomplices_below_quorum_and_replays_change_nothing(world: Path, served: Any, tmp_path: Path) -> None:
    allies = Alliance(tmp_path, served, quorum_of=3)
    allies.send(0, settings(world, 0, tmp_path))
    values = {"payment": sorted({c.casefold() for c in cards(world, 0).values() if c})[:2000]}
    allies.lie(1, values)
    allies.lie(1, values)  # the same member again: still one
    assert allies.answers(0) == {}
    allies.lie(2, values)  # t - 1 accomplices beside the victim's own tag: the quorum is reached
    assert allies.answers(0)
    with allies.db.read() as c:
        import sqlalchemy as sa

        from stillwatch.share.hub.tables import tokens

        row = c.execute(sa.select(tokens).where(tokens.c.member == "lab-1")).first()
    assert row is not None
    # A replay of lab 1's batch under lab 2's name is refused, as is one of an epoch that is over.
    with pytest.raises(ClientError, match="422"):
        allies.hubs[2].send_tokens({"document": {"kind": "tokens"}, "signature": "00"})


@pytest.mark.no_cover
@pytest.mark.slow
def test_how_far_a_liar_shifts_bits(world: Path, tmp_path: Path) -> None:
    """Whoever claims all traits of one honest suspicion shifts it by the cap at most, and the flood that claims everything makes the word worthless."""
    asks = settings(world, 0, tmp_path)
    first = Look()
    look_with(first, asks, Progress(), now=1.8e9)
    labels = truth(world, 0)
    asked: dict[str, set[str]] = {}
    for s in first.suspicions:
        for a in s.accounts:
            for kind, values in first.traits[a].items():
                asked.setdefault(kind, set()).update(values)
    every = {k: frozenset(v) for k, v in asked.items()}
    groups = [s.accounts for s in first.suspicions]
    honest = sorted((s for s in first.suspicions if not any(labels[a][1] for a in s.accounts)), key=lambda s: -s.bits)[:2]
    claims = [{"payment": frozenset(v for a in s.accounts for v in first.traits[a].get("payment", ()))} for s in honest]
    for claim in [*claims, every]:
        look = Look(every, claim, groups)
        case = look_with(look, asks, Progress(), now=1.8e9)
        assert not [s.account for c in case.campaigns for s in c.streams if not labels[s.account][1]]
        assert all(r.bits <= PARTNERS_CAP for c in case.campaigns for r in c.reasons if r.id == "partners")


# The evidence itself


def population(n: int, partners: list[int], rate: float = 0.1) -> Population:
    unknown = Trait(np.full(n, -1), np.zeros(0, np.int64), (), 0)
    shape = Trait(np.r_[np.zeros(8, np.int64), np.arange(1, n - 7)], np.r_[8, np.ones(n - 8, np.int64)], tuple(map(str, range(n))), n)
    flags = {"payment": np.array([*partners, *([-1] * (n - len(partners)))], np.int8)} if partners else {}
    zero = np.zeros(n)
    return Population(
        accounts=tuple(f"a{i}" for i in range(n)), owner=np.arange(n), relation=("",) * n, declared=np.zeros(n, bool), calls=np.full(n, 20), first=zero, last=zero + 1e6,
        created=zero - 1e7, verified=np.full(n, -1, np.int8), verified_known=(0, 0), end_users=np.zeros(n, np.int64), programme=unknown, payment=unknown, mail_domain=unknown,
        mail_shape=shape, signup_day=unknown, age=unknown, client=unknown, client_codes={}, address_offsets=np.zeros(n + 1, np.int64), address_codes=np.zeros(0, np.int64),
        address_counts=np.zeros(0, np.int64), address_uses=0, address_first=zero[:0], address_last=zero[:0], address_labels=(), partners=flags, partner_rates={"payment": rate},
    )  # fmt: skip


def group(k: int) -> Group:
    who = np.arange(k)
    return Group(
        1,
        None,
        (1,),
        who,
        np.full(k, 10),
        np.zeros(k, np.int64),
        np.full(k, 10),
        np.full(k, 10),
        np.zeros(k),
        np.full(k, 1e6),
        np.zeros(k, np.int64),
    )


@pytest.mark.parametrize(("shared", "least", "most"), [(8, 8.0, PARTNERS_CAP), (4, 0.0, 9.0), (1, -4.0, 0.5), (0, -6.0, -0.5)])
def test_bits_grow_with_the_overlap_and_never_past_the_cap(shared: int, least: float, most: float) -> None:
    s = score(population(60, [1] * shared + [0] * (8 - shared)), group(8))
    word = next(f for f in s.findings if f.id == "partners")
    assert least <= word.bits <= most, word
    alone = score(population(60, []), group(8))
    assert s.local == alone.bits
    assert alone.local is None
    assert not [f for f in alone.findings if f.id == "partners"]


def test_the_word_of_partners_is_nothing_without_local_evidence() -> None:
    pop = population(60, [1] * 8)
    pop = replace(pop, mail_shape=Trait(np.arange(60), np.ones(60, np.int64), tuple(map(str, range(60))), 60))
    uneven = replace(group(8), calls=np.array([1, 1, 1, 2, 3, 9, 40, 90]))
    s = score(pop, uneven)
    assert s.local is not None
    assert s.local < LOCAL_FLOOR
    assert s.bits == s.local
    assert not s.together(1.0)


def test_an_honest_customer_of_several_labs_is_left_out(world: Path, tmp_path: Path) -> None:
    """Companies that show one name, card and address everywhere are no evidence, whatever partners say of them."""
    labels, card = truth(world, 0), cards(world, 0)
    companies = [a for a, (cls, _) in labels.items() if cls == "multihoming"]
    with (world / "lab-1" / "accounts.csv").open() as f:
        mails = {r["account"]: r["email"] for r in csv.DictReader(f)}
    asked = {
        "payment": frozenset(card[a].casefold() for a in companies),
        "registration": frozenset(
            x for a in companies for x in (f"mail {mails[a].casefold()}", f"domain {mails[a].rpartition('@')[2].casefold()}")
        ),
    }
    case = look_with(Look(asked, asked, ()), settings(world, 0, tmp_path), Progress(), now=1.8e9)
    assert not [s.account for c in case.campaigns for s in c.streams if labels[s.account][0] == "multihoming"]


def test_the_spec_file_is_the_world_of_the_demo() -> None:
    assert structs.replace(load_spec(ROOT / "specs/pool/thin-rings.toml"), note="") == allied_world(3)


def test_the_same_customers_are_at_every_lab(world: Path) -> None:
    seen = []
    for n in range(3):
        labels, card = truth(world, n), cards(world, n)
        seen.append({card[a] for a, (cls, _) in labels.items() if cls == "multihoming"})
        rings = [card[a] for a, (_, c) in labels.items() if c]
        assert len(set(rings)) == len(rings)  # no card twice within a lab
    assert seen[0] == seen[1] == seen[2]
    assert len(seen[0]) == 88  # companies, resellers, people


def test_the_queue_puts_first_what_a_partner_confirmed_and_tells_a_hand_over() -> None:
    day = 86400.0
    seen = pool.Suspicion(5.0, frozenset({"a", "b"}), 1.78e9, 1.78e9 + 3 * day)
    assert sharing.day_of(seen.first).isoformat() == "2026-05-28"
    look = Look(traits={"a": {"payment": frozenset({"card-1"})}, "b": {"network": frozenset({"198.51.100.7"})}})
    only = {"released": False, "months": None}
    suspected = pool._queued(seen, look, {("payment", "card-1"): only})
    assert (suspected.shared, suspected.confirmed, suspected.handed_over) == (1, False, False)
    more = {"released": True, "months": ["2026-05", "2026-06"]}
    confirmed = pool._queued(seen, look, {("payment", "card-1"): only, ("network", "198.51.100.7"): more})
    assert (confirmed.shared, confirmed.confirmed, confirmed.handed_over) == (2, True, False)
    for months in (["2026-02", "2026-04"], ["2026-07", "2026-07"]):
        assert pool._queued(seen, look, {("payment", "card-1"): {"released": True, "months": months}}).handed_over
    nothing = pool._queued(seen, look, {})
    assert (nothing.shared, nothing.confirmed, nothing.handed_over) == (0, False, False)
    assert (
        sorted([nothing, suspected, confirmed], key=lambda q: (not q.confirmed, -q.shared / q.accounts, -q.bits, q.first))[0] is confirmed
    )
