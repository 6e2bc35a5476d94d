"""Harvesters: an operator with a pool of addresses, cards and templates, and accounts that work through its list.

The same functions serve a world that is built at once and the day-by-day game, so what an adversary changes in the game is what a spec can set.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial
from random import Random
from typing import Any, Final

from stillwatch.range import texts
from stillwatch.range.honest import Population, chatting
from stillwatch.range.people import AGENTS, DAY, WEBMAIL, Account, Call, Place, address, heavy, mail, person, token, waking
from stillwatch.range.spec import Ring
from stillwatch.range.texts import Rng, harvest_template, pick

_CLIENTS: Final = ("Python/3.12 aiohttp/3.12.1", "node-fetch/3.3.2", "Go-http-client/2.0", "python-httpx/0.28.1", "reqwest/0.12.9")
_PATHS: Final = ("openai", "azure", "bedrock", "vertex_ai")


@dataclass(slots=True)
class Operator:
    """What the accounts of one ring have in common.  The same seed and name give the same operator in every process and at every lab."""

    ring: Ring
    place: Place
    pool: list[str] = field(default_factory=list)
    number: int = 0

    def __post_init__(self) -> None:
        rng, n = Random(f"{self.place.seed}/{self.ring.name}"), self.ring.pool
        self.number = rng.randrange(10**7)
        if self.ring.pool_kind == "datacentre":
            nets = [address(rng).rsplit(".", 1)[0] for _ in range(max(1, n // 32))]
            self.pool = [f"{pick(rng, nets)}.{rng.randrange(1, 255)}" for _ in range(n)]
        else:
            self.pool = [address(rng) for _ in range(n)]

    def card(self, k: int) -> str:
        """The card of account number ``k``."""
        return f"{Random(f'{self.place.seed}/{self.ring.name}/card/{k // self.ring.accounts_per_card}').getrandbits(64):016x}"

    def mail(self, rng: Rng, k: int) -> str:
        """The mail address of account number ``k``."""
        if self.ring.mail == "people":
            return mail(rng)
        host = f"{self.ring.name}-mail.example" if self.ring.mail == "catch-all" else pick(rng, WEBMAIL[:2])
        return f"{pick(rng, 'abcdefghijk')}{rng.randrange(10**6):06d}@{host}"


def recruit(rng: Rng, of: Operator, k: int, created: float) -> Account:
    """A new account of the ring."""
    ring, place = of.ring, of.place
    if rng.random() < ring.stolen:
        who = person(rng, place.begin, "stolen")
        who.role = "stolen"
    else:
        who = Account(
            f"u-{token(rng, 12)}", created, of.mail(rng, k), of.card(k), verified=int(rng.random() < ring.verified), cls="campaign"
        )
        who.role = "mixed" if ring.camouflage or ring.relay else "pure"
        who.agent = pick(rng, AGENTS)
        if rng.random() < ring.programme:
            who.programme, who.plan = "startup", "credits"
    who.campaign = ring.name
    many = ring.addresses_per_account or min(12, ring.pool)
    if ring.stolen == 0 or who.role != "stolen":
        who.addresses = [pick(rng, of.pool) for _ in range(many)]
    return who


def messages(rng: Rng, of: Operator, item: str) -> list[dict[str, Any]]:
    """One harvest prompt about ``item``."""
    ring = of.ring
    technique = rng.choices(list(ring.techniques), list(ring.techniques.values()))[0]
    template = harvest_template(technique, ring.name, rng.randrange(ring.variants), languages=ring.languages)
    text = template.replace("{x}", item).replace("{y}", texts.clause(rng)).replace("{z}", texts.clause(rng))
    turns: list[dict[str, Any]] = [{"role": "user", "content": text}]
    if technique == "D14":
        block = {"type": "thinking", "thinking": "", "signature": token(rng, 64)}
        turns = [
            {"role": "user", "content": item},
            {"role": "assistant", "content": [block, {"type": "text", "text": texts.clause(rng)}]},
            *turns,
        ]
    return turns


def harvest(rng: Rng, of: Operator, who: Account, at: float, number: int, client: int, compared: str = "") -> Call:
    """One harvest call; ``compared`` names a prompt that other labs get in the same words."""
    ring, place = of.ring, of.place
    # Where accounts work through one list, its items must read the same everywhere.
    draw = rng if ring.slices else Random(f"{place.seed}/{ring.name}/item/{number}")
    relayed = ring.relay > 0 and rng.random() < ring.relay
    turns = messages(rng, of, texts.chat(rng) if relayed else place.item(draw, of.number + number))
    if compared:
        same = Random(f"{place.seed}/{ring.name}/compared/{compared}")
        turns = messages(same, of, place.item(same, same.randrange(10**7)))
    if ring.replay > 0 and rng.random() < ring.replay:
        turns = [{"role": "user", "content": texts.chat(rng)}, {"role": "assistant", "content": f"{texts.clause(rng)}."}, *turns]
    model, path = "model-large", _PATHS[0]
    if ring.pivot_day is not None and at >= place.begin + ring.pivot_day * DAY:
        model = "model-next"
    if ring.paths > 1:
        path = pick(rng, _PATHS[: ring.paths])
        model = model if path == "openai" else f"{path}/{model}"
    agent = "" if ring.sanitised else _CLIENTS[client % len(_CLIENTS)]
    params: dict[str, Any] = {} if ring.sanitised else {"temperature": round(0.6 + 0.1 * (client // len(_CLIENTS)), 1), "max_tokens": 4096}
    spot = pick(rng, who.addresses if ring.addresses_per_account else of.pool)
    return Call(at, who, ring.name, turns, model, params, agent, spot, path=path)


def _times(rng: Rng, ring: Ring, n: int, begin: float, end: float, pivot: float | None) -> list[float]:
    if pivot is None or not begin < pivot < end:
        return sorted(rng.uniform(begin, end) for _ in range(n))
    # Half of the work waits for the new model's first day.
    return sorted(rng.uniform(begin, pivot) if rng.random() < 0.5 else min(end, pivot + rng.uniform(0, DAY)) for _ in range(n))


def member(place: Place, ring: Ring, shared: Rng, rng: Rng, k: int) -> Iterator[Call]:
    """All calls of the ring's account number ``k``, and of the one that replaces it after a ban."""
    of = Operator(ring, place)
    finish = place.begin + place.spec.days * DAY
    begin = place.begin + ring.begin * DAY
    end = finish if ring.days is None else min(finish, begin + ring.days * DAY)
    created = begin + rng.uniform(-ring.age_days, min(ring.signup_days, max(0.0, (end - begin) / DAY / 4))) * DAY
    n = max(1, math.floor(ring.calls + rng.random()))
    if ring.calls_spread == "heavy":
        n = heavy(rng, 1.3, ring.calls * 0.9, math.ceil(ring.calls * 20))
    base = place.begin
    pivot = None if ring.pivot_day is None else base + ring.pivot_day * DAY
    spans = [(max(created, begin) + rng.uniform(0, min(1.0, (end - begin) / DAY / 3)) * DAY, end, created)]
    if ring.ban_day is not None and k % 2 == 0:
        ban = base + ring.ban_day * DAY
        spans = [(min(spans[0][0], ban - 3600), ban, created), (ban + rng.uniform(0.1, 1) * DAY, end, ban + rng.uniform(0, 0.1) * DAY)]
    done, shell = 0, _shell(of) if ring.shell else None
    for part, (since, until, made) in enumerate(spans):
        if since >= until:
            continue
        who = shell or recruit(rng, of, k if part == 0 else ring.accounts + k, made)
        share = n - done if part == len(spans) - 1 else n // 2
        client = k % ring.clients
        for at in _times(rng, ring, share, since, until, pivot):
            compared = f"{k // place.spec.labs}/{done}" if ring.compare > 0 and rng.random() < ring.compare else ""
            call = harvest(rng, of, who, at, done * ring.accounts + k if ring.slices else done, client, compared)
            call.end_user = f"eu-{k:05d}" if shell else None
            done += 1
            yield call
        ordinary = round(share * ring.camouflage)
        if who.role == "stolen":
            yield from chatting(rng, place, who, waking(rng, place.begin, place.spec.days, max(2, ordinary), who.created_at), "chat")
        elif ordinary:
            yield from chatting(rng, place, who, waking(rng, since, (until - since) / DAY, ordinary, since), f"camouflage:{ring.name}")


def _shell(of: Operator) -> Account:
    """The one declared gateway account in front of a shell company's ring."""
    rng = Random(f"{of.place.seed}/{of.ring.name}/shell")
    created = of.place.begin - rng.uniform(30, 90) * DAY
    who = Account(
        f"u-{token(rng, 12)}",
        created,
        f"api@{of.ring.name}-cloud.example",
        of.card(0),
        "enterprise",
        "",
        f"org-{token(rng, 6)}",
        1,
        "campaign",
    )
    who.campaign, who.role, who.agent = of.ring.name, "mixed" if of.ring.camouflage else "pure", "gateway-proxy/3.1"
    who.addresses = of.pool
    return who


def campaigns(place: Place) -> list[Population]:
    """The rings of a world as populations; account k of a ring is at lab k modulo the number of labs."""
    return [
        (f"campaign:{r.name}", r.accounts, r.calls * (1 + r.camouflage), partial(member, place, r))
        for r in place.spec.campaigns
    ]  # fmt: skip
