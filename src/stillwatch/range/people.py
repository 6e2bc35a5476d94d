"""Who lives in a world: honest populations and a ring, each a generator of accounts and calls.

Arrival times follow what is published of real traffic to language models: calls per client are heavy-tailed and rates swing over the day (BurstGPT,
arXiv 2401.17644; ServeGen, arXiv 2505.09999).  Sizes, ages and prices are the range's own choices, not measurements.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np

from stillwatch.range import texts
from stillwatch.range.texts import Rng, pick

DAY: Final = 86400.0
AGENTS: Final = (
    "OpenAI/Python 1.99.1", "OpenAI/Python 2.4.0", "OpenAI/JS 5.12.0", "curl/8.6.0", "LibreChat/0.8", "okhttp/5.0.0", "Mozilla/5.0 (X11; Linux x86_64)",
    "Mozilla/5.0 (iPhone; CPU iPhone OS 18_0)", "axios/1.8.2", "python-requests/2.32.3",
)  # fmt: skip
WEBMAIL: Final = ("mail-one.example", "post-two.example", "inbox-three.example", "letter-four.example")


@dataclass(frozen=True, slots=True)
class Hydra:
    """A ring.  Counts are of accounts and calls; ``camouflage`` is ordinary chat per harvest call; ``pool`` is addresses."""

    name: str = "hydra"
    accounts: int = 30
    calls_per_account: int = 20
    camouflage: float = 1.0
    accounts_per_card: int = 4
    pool: int = 60


@dataclass(frozen=True, slots=True)
class WorldSpec:
    """A world: counts of accounts per population.  ``start`` is epoch seconds UTC, ``days`` its length."""

    start: float = 1_780_272_000.0  # 2026-06-01
    days: float = 14.0
    chat: int = 500
    companies: int = 3
    keys_per_company: int = 6
    calls_per_key: int = 100
    benchmarkers: int = 6
    benchmark_items: int = 150
    course: int = 40
    hackers: int = 25
    reseller_users: int = 200
    hydras: tuple[Hydra, ...] = (Hydra(),)


def small_world() -> WorldSpec:
    """The demo's world: about 10,000 calls."""
    return WorldSpec()


def scaled_world(calls: int) -> WorldSpec:
    """A world of about ``calls`` calls in the small world's mix."""
    f = calls / 10_000
    return WorldSpec(
        chat=round(500 * f),
        companies=max(1, round(3 * f)),
        benchmarkers=max(2, round(6 * f)),
        course=max(5, round(40 * min(f, 5))),
        hackers=max(5, round(25 * min(f, 5))),
        reseller_users=round(200 * f),
        hydras=(Hydra(accounts=round(30 * f), pool=round(60 * f)),),
    )


@dataclass(slots=True)
class Account:
    """A sign-up record with its truth."""

    account: str
    created_at: float
    email: str
    payment_fingerprint: str
    plan: str = "paygo"
    programme: str = ""
    org: str = ""
    verified: int = 1
    cls: str = ""
    campaign: str = ""
    role: str = "benign"
    agent: str = ""
    addresses: list[str] = field(default_factory=list)


@dataclass(slots=True)
class Call:
    """One request; ``stream`` is its truth."""

    at: float
    account: Account
    stream: str
    messages: list[dict[str, str]]
    model: str = "model-large"
    params: dict[str, Any] = field(default_factory=dict)
    agent: str = ""
    address: str = ""
    end_user: str | None = None


def address(rng: Rng) -> str:
    """An address of the documentation-free 100.64/10 and 198.18/15 blocks, which belong to nobody."""
    a, b, c = (int(v) for v in rng.integers(1, 255, 3))
    return f"100.{64 + a % 64}.{b}.{c}" if rng.random() < 0.9 else f"198.{18 + a % 2}.{b}.{c}"


def _token(rng: Rng, n: int) -> str:
    return "".join("0123456789abcdef"[i] for i in rng.integers(0, 16, n))


def person(rng: Rng, spec: WorldSpec, cls: str, *, verified: float = 0.6, newest: float = 0.0) -> Account:
    """An honest person: an own card, an own address or two, signed up any time in two years or up to ``newest`` days before the start."""
    created = spec.start - float(rng.uniform(newest, 730)) * DAY if rng.random() > 0.04 else spec.start + float(rng.uniform(-9, 1)) * DAY
    who = Account(f"u-{_token(rng, 12)}", created, _mail(rng), _token(rng, 16), verified=int(rng.random() < verified), cls=cls)
    who.agent = pick(rng, AGENTS)
    who.addresses = [address(rng) for _ in range(1 + int(rng.random() < 0.5))]
    return who


def _mail(rng: Rng) -> str:
    kind = rng.random()
    if kind < 0.4:
        local = f"{pick(rng, texts.PEOPLE)}.{pick(rng, texts.PLACES)}{int(rng.integers(1000))}"
    elif kind < 0.7:
        local = f"{pick(rng, texts.PEOPLE)}{int(rng.integers(10000))}"
    else:
        local = _token(rng, 9)
    return f"{local.lower()}@{pick(rng, WEBMAIL)}"


def waking(rng: Rng, spec: WorldSpec, n: int, since: float) -> np.ndarray:
    """``n`` times by somebody who sleeps: days at random, hours about an own noon, never before ``since``."""
    noon = rng.uniform(8, 24)
    days = np.floor(rng.uniform(0, spec.days, n))
    at = spec.start + days * DAY + ((noon + rng.normal(0, 3.2, n)) % 24) * 3600
    late = np.maximum(spec.start, since)
    return np.sort(np.where(at < late, late + rng.uniform(60, 3 * 3600, n), at))


def _user(text: str) -> list[dict[str, str]]:
    return [{"role": "user", "content": text}]


def chatting(rng: Rng, spec: WorldSpec, who: Account, n: int, stream: str) -> Iterator[Call]:
    """Ordinary chat: sessions that grow turn by turn, now and then a prompt that went round on the net."""
    history: list[dict[str, str]] = []
    for at in waking(rng, spec, n, who.created_at):
        if rng.random() < 0.5:
            history = []
        ask = texts.chat(rng)
        if rng.random() < 0.06:
            ask = pick(rng, texts.POPULAR).format(x=ask)
        history = [*history, {"role": "user", "content": ask}]
        params = {"temperature": float(rng.choice([0.3, 0.7, 1.0]))} if rng.random() < 0.3 else {}
        yield Call(float(at), who, stream, history, params=params, agent=who.agent, address=pick(rng, who.addresses))
        history = [*history, {"role": "assistant", "content": f"{texts.clause(rng)}."}]


def chat_users(rng: Rng, spec: WorldSpec) -> Iterator[Call]:
    """Chat users; calls per account are heavy-tailed."""
    for _ in range(spec.chat):
        who = person(rng, spec, "chat")
        n = int(min(120, 1 + rng.pareto(1.3) * 4))
        yield from chatting(rng, spec, who, n, "chat")


def company_batches(rng: Rng, spec: WorldSpec) -> Iterator[Call]:
    """Companies: many keys, one payer who says who he is, disjoint records through one prompt."""
    for c in range(spec.companies):
        org, card, place = f"org-{_token(rng, 8)}", _token(rng, 16), address(rng)
        created = spec.start - float(rng.uniform(100, 600)) * DAY
        system = f"{texts.BATCH} House rule {c + 1}: write places as in {pick(rng, texts.PLACES)}."
        for k in range(spec.keys_per_company):
            mail = f"svc{k}@company-{_token(rng, 4)}.example"
            who = Account(f"u-{_token(rng, 12)}", created + k * 60, mail, card, "enterprise", "", org, 1, "batch")
            for i in range(spec.calls_per_key):
                at = spec.start + float(rng.uniform(0, spec.days)) * DAY
                note = f"{texts.clause(rng)}; {texts.clause(rng)}; lot {k}-{i}-{int(rng.integers(10**6))}"
                yield Call(
                    at,
                    who,
                    "batch",
                    [{"role": "system", "content": system}, *_user(note)],
                    "model-small",
                    {"temperature": 0},
                    "OpenAI/Python 2.4.0",
                    place,
                )


def benchmark_runs(rng: Rng, spec: WorldSpec) -> Iterator[Call]:
    """Unrelated people who run one public task list: the same items in every account."""
    items = [texts.BENCH.format(x=texts.task(rng, 10**6 + i)) for i in range(spec.benchmark_items)]
    for _ in range(spec.benchmarkers):
        who = person(rng, spec, "eval", verified=0.9, newest=10)
        at = spec.start + float(rng.uniform(0, spec.days - 1)) * DAY
        for item in items:
            at += float(rng.exponential(20))
            yield Call(
                at, who, "eval", _user(item), "model-large", {"temperature": 0, "max_tokens": 512}, "bench-harness/0.9", who.addresses[0]
            )


def course(rng: Rng, spec: WorldSpec) -> Iterator[Call]:
    """A course: campus mail and addresses, one evening a week, the same exercise; everybody verified, each with an own card."""
    campus = [address(rng) for _ in range(2)]
    essays = [f"{texts.clause(rng)}. {texts.clause(rng)}." for _ in range(8)]
    begin = spec.start + 2 * DAY
    for i in range(spec.course):
        who = Account(
            f"u-{_token(rng, 12)}",
            begin - float(rng.uniform(1, 6)) * DAY,
            f"s{i:03d}@campus.example",
            _token(rng, 16),
            "paygo",
            "edu",
            "",
            1,
            "class",
        )
        agent = pick(rng, AGENTS)
        for _ in range(int(rng.integers(3, 9))):
            at = begin + 7 * DAY * int(rng.integers(max(1, int(spec.days // 7)))) + 18 * 3600 + float(rng.uniform(0, 3 * 3600))
            text = texts.COURSE.format(x=essays[int(rng.integers(len(essays)))])
            yield Call(at, who, "class", _user(text), "model-large", {}, agent, pick(rng, campus))


def hackathon(rng: Rng, spec: WorldSpec) -> Iterator[Call]:
    """New people with one starter kit who met for a weekend: fresh accounts, one venue, then each at home with an own question."""
    venue, begin = address(rng), spec.start + 4.3 * DAY
    for _ in range(spec.hackers):
        who = person(rng, spec, "hackathon", verified=0.8)
        who.created_at = begin + float(rng.uniform(-0.5, 1)) * DAY
        idea = f"a helper for people whose {pick(rng, texts.THINGS)} is {pick(rng, texts.TRAITS)}"
        for i in range(int(min(60, 4 + rng.pareto(1.2) * 6))):
            weekend = i < 3 or rng.random() < 0.6
            at = who.created_at + 600 + float(rng.uniform(0, 1.2 if weekend else 7)) * DAY
            text = f"For {idea}: {texts.chat(rng)}"
            place = venue if weekend and at < begin + 2 * DAY else who.addresses[0]
            yield Call(
                at, who, "hackathon", [{"role": "system", "content": texts.STARTER}, *_user(text)], "model-small", {}, who.agent, place
            )


def reseller(rng: Rng, spec: WorldSpec) -> Iterator[Call]:
    """A gateway: one account, many end users of its own, few addresses."""
    who = Account(
        f"u-{_token(rng, 12)}", spec.start - 300 * DAY, _mail(rng), _token(rng, 16), "enterprise", "", f"gw-{_token(rng, 4)}", 1, "gateway"
    )
    out = [address(rng) for _ in range(4)]
    for _ in range(spec.reseller_users):
        user = f"eu-{_token(rng, 8)}"
        for at in waking(rng, spec, int(min(40, 1 + rng.pareto(1.3) * 3)), 0):
            yield Call(float(at), who, "gateway", _user(texts.chat(rng)), agent="gateway-proxy/3.1", address=pick(rng, out), end_user=user)


def hydra(rng: Rng, spec: WorldSpec, h: Hydra) -> Iterator[Call]:
    """A ring: a farm of accounts in front of one work list, each task once, with ordinary chat mixed in."""
    pool = [address(rng) for _ in range(h.pool)]
    params = {"temperature": 0.6, "max_tokens": 4096}
    letters = "abcdefghijk"
    cards: list[str] = []
    # Numbers of one list are dealt out round robin: disjoint slices.
    number = int(rng.integers(10**7))
    for k in range(h.accounts):
        if k % h.accounts_per_card == 0:
            cards.append(_token(rng, 16))
        created = spec.start + float(rng.uniform(-3, min(2.0, spec.days / 4))) * DAY
        mail = f"{pick(rng, letters)}{int(rng.integers(10**6)):06d}@{pick(rng, WEBMAIL[:2])}"
        who = Account(f"u-{_token(rng, 12)}", created, mail, cards[-1], verified=int(rng.random() < 0.3), cls="campaign", campaign=h.name)
        who.role = "mixed" if h.camouflage else "pure"
        who.agent = pick(rng, AGENTS)
        who.addresses = [pool[int(i)] for i in rng.choice(h.pool, min(12, h.pool), replace=False)]
        begin = max(created, spec.start) + float(rng.uniform(0, 1)) * DAY
        for i in range(h.calls_per_account):
            at = begin + float(rng.uniform(0, 1)) * (spec.start + spec.days * DAY - begin)
            item = texts.task(rng, number + i * h.accounts + k)
            text = (
                texts.JUDGE.format(x=item, y=texts.clause(rng), z=texts.clause(rng)) if rng.random() < 0.3 else texts.WRAPPER.format(x=item)
            )
            yield Call(at, who, h.name, _user(text), "model-large", params, "Python/3.12 aiohttp/3.12.1", pick(rng, pool))
        yield from chatting(rng, spec, who, round(h.calls_per_account * h.camouflage), f"camouflage:{h.name}")
