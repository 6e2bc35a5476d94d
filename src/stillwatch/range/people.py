"""What every population needs: accounts, calls, addresses, mail names, hours of the day."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, Final

from stillwatch.range import texts
from stillwatch.range.spec import WorldSpec
from stillwatch.range.texts import Rng, pick

DAY: Final = 86400.0
AGENTS: Final = (
    "OpenAI/Python 1.99.1", "OpenAI/Python 2.4.0", "OpenAI/JS 5.12.0", "curl/8.6.0", "LibreChat/0.8", "okhttp/5.0.0", "Mozilla/5.0 (X11; Linux x86_64)",
    "Mozilla/5.0 (iPhone; CPU iPhone OS 18_0)", "axios/1.8.2", "python-requests/2.32.3", "Python/3.12 aiohttp/3.12.1", "",
)  # fmt: skip
ROLES: Final = ("it", "data", "api", "admin", "ai-team", "platform", "j.lind", "office")
WEBMAIL: Final = ("mail-one.example", "post-two.example", "inbox-three.example", "letter-four.example")


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
    number: int = 0  # in its ring
    addresses: list[str] = field(default_factory=list)


@dataclass(slots=True)
class Call:
    """One request; ``stream`` is its truth."""

    at: float
    account: Account
    stream: str
    messages: list[dict[str, Any]]
    model: str = "model-large"
    params: dict[str, Any] = field(default_factory=dict)
    agent: str = ""
    address: str = ""
    end_user: str | None = None
    path: str = "openai"
    reply: str = ""  # what the model answered; "" leaves it to the log's writer


@dataclass(frozen=True, slots=True)
class Place:
    """One lab of a world with the prompts its people use; what a generator is given."""

    spec: WorldSpec
    seed: int
    lab: int = 0

    @property
    def begin(self) -> float:
        """Epoch seconds of the world's beginning."""
        return self.spec.begin

    def ask(self, rng: Rng) -> str:
        """What a chat user asks."""
        if self.spec.chat_prompts:
            return pick(rng, _prompts(self.spec.chat_prompts))
        if rng.random() < self.spec.honest.chat.tasks:
            return texts.task(rng, rng.randrange(10**6))
        return texts.chat(rng)

    def item(self, rng: Rng, number: int) -> str:
        """An item of a harvester's list."""
        if self.spec.task_prompts:
            own = _prompts(self.spec.task_prompts)
            return own[number % len(own)]
        return texts.task(rng, number)


@lru_cache
def _prompts(path: str) -> tuple[str, ...]:
    from stillwatch.range.spec import prompts  # noqa: PLC0415 - kept beside its errors

    return prompts(path)


def user(text: str) -> list[dict[str, Any]]:
    """A conversation of one turn."""
    return [{"role": "user", "content": text}]


def address(rng: Rng) -> str:
    """An address of the shared 100.64/10 and benchmarking 198.18/15 blocks (RFC 6598, RFC 2544), which belong to no customer."""
    b, c = rng.randrange(1, 255), rng.randrange(1, 255)
    return f"100.{64 + rng.randrange(64)}.{b}.{c}" if rng.random() < 0.9 else f"198.{18 + rng.randrange(2)}.{b}.{c}"


def token(rng: Rng, digits: int) -> str:
    """Hexadecimal digits."""
    return f"{rng.getrandbits(4 * digits):0{digits}x}"


def mail(rng: Rng) -> str:
    """A person's address at a public mail host."""
    kind = rng.random()
    if kind < 0.4:
        local = f"{pick(rng, texts.PEOPLE)}.{pick(rng, texts.PLACES)}{rng.randrange(1000)}"
    elif kind < 0.7:
        local = f"{pick(rng, texts.PEOPLE)}{rng.randrange(10000)}"
    else:
        local = token(rng, 9)
    return f"{local.lower()}@{pick(rng, WEBMAIL)}"


def person(rng: Rng, begin: float, cls: str, *, verified: float = 0.6, newest: float = 0.0) -> Account:
    """An honest person: an own card, an own address or two, signed up any time in two years or up to ``newest`` days before ``begin``."""
    created = begin - rng.uniform(newest, 730) * DAY if rng.random() > 0.04 else begin + rng.uniform(-9, 1) * DAY
    who = Account(f"u-{token(rng, 12)}", created, mail(rng), token(rng, 16), verified=int(rng.random() < verified), cls=cls)
    who.agent = pick(rng, AGENTS)
    who.addresses = [address(rng) for _ in range(1 + (rng.random() < 0.5))]
    return who


def heavy(rng: Rng, tail: float, scale: float, most: int) -> int:
    """A heavy-tailed number of calls, at least 1 (Lomax with index ``tail``)."""
    return int(min(most, 1 + (rng.paretovariate(tail) - 1) * scale))


def waking(rng: Rng, begin: float, days: float, n: int, since: float) -> list[float]:
    """``n`` times by somebody who sleeps: fewer at weekends, hours about an own noon, never before ``since``."""
    noon, out = rng.uniform(8, 24), []
    late = max(begin, since)
    for _ in range(n):
        day = int(rng.random() * days)
        if (int(begin // DAY) + day + 3) % 7 >= 5 and rng.random() < 0.4:  # the epoch began on a Thursday
            day = int(rng.random() * days)
        at = begin + day * DAY + ((noon + rng.gauss(0, 3.2)) % 24) * 3600
        out.append(late + rng.uniform(60, 3 * 3600) if at < late else min(at, begin + days * DAY))
    out.sort()
    return out
