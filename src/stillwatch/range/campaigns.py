"""Harvesters: an operator with a pool of addresses, cards and templates, and accounts that work through its list.

The same functions serve a world that is built at once and the day-by-day game, so what an adversary changes in the game is what a spec can set.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from functools import partial
from random import Random
from typing import Any, Final

from stillwatch.range import careful, pipeline, texts
from stillwatch.range.crowds.setting import Setting, settle
from stillwatch.range.crowds.work import manner
from stillwatch.range.honest import Population, chatting
from stillwatch.range.people import AGENTS, DAY, WEBMAIL, Account, Call, Place, address, heavy, mail, person, token, waking
from stillwatch.range.ring import Ring
from stillwatch.range.sittings import Manner, talking
from stillwatch.range.talk import answer, follow_up, mind
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
    host: Setting | None = None  # the honest crowd whose program the ring uses

    def __post_init__(self) -> None:
        rng, n = Random(f"{self.place.seed}/{self.ring.name}"), self.ring.pool
        self.number = rng.randrange(10**7)
        if self.ring.pool_kind == "datacentre":
            nets = [address(rng).rsplit(".", 1)[0] for _ in range(max(1, n // 32))]
            self.pool = [f"{pick(rng, nets)}.{rng.randrange(1, 255)}" for _ in range(n)]
        else:
            self.pool = [address(rng) for _ in range(n)]
        crowds = {c.name or c.kind: c for c in self.place.spec.honest.crowds}
        if self.ring.behind:
            self.pool = list(settle(self.place, crowds[self.ring.behind]).exits)
        if self.ring.app:
            self.host = settle(self.place, crowds[self.ring.app])

    def card(self, k: int) -> str:
        """The card of account number ``k``."""
        return f"{Random(f'{self.place.seed}/{self.ring.name}/card/{k // self.ring.accounts_per_card}').getrandbits(64):016x}"

    def mail(self, rng: Rng, k: int) -> str:
        """The mail address of account number ``k``."""
        if self.ring.mail == "people":
            return mail(rng)
        if self.ring.mail in ("college", "firm"):
            return careful.sham_mail(self.ring, self.place, rng, k)
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
    who.campaign, who.number = ring.name, k
    many = ring.addresses_per_account or min(12, ring.pool)
    if ring.stolen == 0 or who.role != "stolen":
        who.addresses = (
            careful.own_homes(ring, place, k) if ring.pool_kind == "own" and not ring.behind else [pick(rng, of.pool) for _ in range(many)]
        )
        if ring.org == "typed":
            who.org = careful.firm_name(ring, place, k)
        if ring.mail == "college":
            who.programme = "edu"
    return who


def messages(rng: Rng, of: Operator, item: str, k: int) -> list[dict[str, Any]]:
    """One harvest prompt of account number ``k`` about ``item``."""
    ring = of.ring
    if ring.wording == "account" and "bare" not in ring.techniques:
        return _inside(of, careful.own_wording(ring, k).replace("{x}", item))
    technique = rng.choices(list(ring.techniques), list(ring.techniques.values()))[0]
    template = harvest_template(technique, ring.name, rng.randrange(ring.variants), languages=ring.languages)
    text = template.replace("{x}", item).replace("{y}", texts.clause(rng)).replace("{z}", texts.clause(rng))
    turns = _inside(of, text)
    if technique == "D14":
        block = {"type": "thinking", "thinking": "", "signature": token(rng, 64)}
        turns = [
            {"role": "user", "content": item},
            {"role": "assistant", "content": [block, {"type": "text", "text": texts.clause(rng)}]},
            *turns,
        ]
    return turns


def _inside(of: Operator, text: str) -> list[dict[str, Any]]:
    """A conversation of one turn, behind the system prompt of the app that the ring hides in."""
    system = manner(of.host).system if of.host else ""
    return [*([{"role": "system", "content": system}] if system else []), {"role": "user", "content": text}]


def _item(rng: Rng, of: Operator, number: int, k: int) -> str:
    if of.ring.items == "tasks":
        return of.place.item(rng, of.number + number)
    # A sorted list is cut into one run after the other, so neighbours on it are an account's.
    return careful.exercise(rng, k * 30 // of.ring.accounts if of.ring.order == "sorted" else rng.randrange(30), of.number + number)


def _client(rng: Rng, of: Operator, who: Account, client: int) -> tuple[str, dict[str, Any]]:
    """Program and settings of a harvest call."""
    ring = of.ring
    if of.host:
        return (of.host.agents or (who.agent,))[0], dict(manner(of.host).params)
    agent = "" if ring.sanitised else _CLIENTS[client % len(_CLIENTS)]
    params: dict[str, Any] = {} if ring.sanitised else {"temperature": round(0.6 + 0.1 * (client // len(_CLIENTS)), 1), "max_tokens": 4096}
    if ring.agents == "account":
        agent = who.agent = careful.own_agent(ring, who.number)
    if ring.settings != "shared":
        params = careful.own_settings(ring, rng, who.number)
    return agent, params


def harvest(rng: Rng, of: Operator, who: Account, at: float, number: int, client: int, compared: str = "") -> Call:
    """One harvest call; ``compared`` names a prompt that other labs get in the same words."""
    ring, place = of.ring, of.place
    # Where accounts work through one list, its items must read the same everywhere.
    draw = rng if ring.slices else Random(f"{place.seed}/{ring.name}/item/{number}")
    relayed = ring.relay > 0 and rng.random() < ring.relay
    if ring.overlap > 0:
        # An item that is sent again reads the same, whoever sends it, so both prompts are drawn from its number.
        # Accounts overlap in pairs; an odd one out keeps to its own slice.
        if rng.random() < ring.overlap and (who.number ^ 1) < ring.accounts:
            number += (who.number ^ 1) - who.number
        rng_text = Random(f"{place.seed}/{ring.name}/item/{number}")
        turns = messages(rng_text, of, _item(rng_text, of, number, who.number), who.number)
    else:
        turns = messages(rng, of, texts.chat(rng) if relayed else _item(draw, of, number, who.number), who.number)
    if compared:
        same = Random(f"{place.seed}/{ring.name}/compared/{compared}")
        turns = messages(same, of, place.item(same, same.randrange(10**7)), who.number)
    if ring.replay > 0 and rng.random() < ring.replay:
        turns = [{"role": "user", "content": texts.chat(rng)}, {"role": "assistant", "content": f"{texts.clause(rng)}."}, *turns]
    model, path = "model-large", _PATHS[0]
    if ring.pivot_day is not None and at >= place.begin + ring.pivot_day * DAY:
        model = "model-next"
    if ring.paths > 1:
        path = pick(rng, _PATHS[: ring.paths])
        model = model if path == "openai" else f"{path}/{model}"
    agent, params = _client(rng, of, who, client)
    spot = pick(rng, who.addresses if ring.addresses_per_account or ring.pool_kind == "own" else of.pool)
    return Call(at, who, ring.name, turns, model, params, agent, spot, path=path)


def _times(rng: Rng, ring: Ring, n: int, begin: float, end: float, pivot: float | None) -> list[float]:
    if ring.rhythm == "waking":
        return waking(rng, begin, (end - begin) / DAY, n, begin)
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
    if ring.calls_spread == "log-normal":
        n = max(1, min(math.ceil(20 * ring.calls), round(ring.calls * math.exp(rng.gauss(-0.5, 1)))))
    if ring.calls_spread == "heavy":
        n = heavy(rng, 1.3, ring.calls * 0.9, math.ceil(ring.calls * 20))
    base = place.begin
    pivot = None if ring.pivot_day is None else base + ring.pivot_day * DAY
    spans = [(max(created, begin) + rng.uniform(0, min(1.0, (end - begin) / DAY / 3)) * DAY, end, created)]
    if ring.ban_day is not None and k % 2 == 0:
        ban = base + ring.ban_day * DAY
        spans = [(min(spans[0][0], ban - 3600), ban, created), (ban + rng.uniform(0.1, 1) * DAY, end, ban + rng.uniform(0, 0.1) * DAY)]
    if ring.stages:
        who = recruit(rng, of, k, min(created, begin))
        staged = list(_staged(rng, of, who, begin, end, k % ring.clients))
        yield from staged
        if ordinary := round(len(staged) * ring.camouflage):
            yield from camouflage(rng, of, who, waking(rng, begin, (end - begin) / DAY, ordinary, begin))
        return
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
            if ring.follow_ups > 0 and rng.random() < ring.follow_ups:
                yield _idle(rng, place, call, ring)
        ordinary = round(share * ring.camouflage)
        if who.role == "stolen":
            yield from chatting(rng, place, who, waking(rng, place.begin, place.spec.days, max(2, ordinary), who.created_at), "chat")
        elif ordinary:
            yield from camouflage(rng, of, who, waking(rng, since, (until - since) / DAY, ordinary, since))


def _idle(rng: Rng, place: Place, call: Call, ring: Ring) -> Call:
    """A question after a harvested answer, as people ask one."""
    call.reply = call.reply or answer(rng)
    turns = [*call.messages, {"role": "assistant", "content": call.reply}, {"role": "user", "content": follow_up(rng, mind(rng), 0.0)}]
    at = min(call.at + 20 + rng.expovariate(1 / 120), place.begin + place.spec.days * DAY)
    return Call(at, call.account, f"camouflage:{ring.name}", turns, call.model, call.params, call.agent, call.address, path=call.path)


def camouflage(rng: Rng, of: Operator, who: Account, times: list[float]) -> Iterator[Call]:
    """Ordinary calls of a ring's account."""
    ring, stream = of.ring, f"camouflage:{of.ring.name}"
    if not of.place.spec.answers:
        yield from chatting(rng, of.place, who, times, stream)
        return
    how = manner(of.host) if of.host else Manner(follow_ups=0.4)
    if of.host and of.host.agents:
        who.agent = of.host.agents[0]
    # Without a persona its subjects are anybody's, drawn anew for each word.
    yield from talking(rng, times, who, mind(rng), replace(how, own=0.8 if ring.personas else 0.0, wander=0.0), stream)


def _staged(rng: Rng, of: Operator, who: Account, begin: float, end: float, client: int) -> Iterator[Call]:
    """The account's part of a pipeline."""
    ring, place, k = of.ring, of.place, who.number
    for at, job, stage, text, reply in pipeline.jobs(ring, place.seed, k, begin, end, lambda own, job: _item(own, of, job, k)):
        variant = k if ring.wording == "account" else rng.randrange(ring.variants)
        call = harvest(rng, of, who, at, job, client)
        call.messages = _inside(of, pipeline.stage_template(ring, stage, variant).replace("{x}", text))
        call.reply = reply
        yield call


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
