"""What the people of one crowd have in common: days, places, mail host, programs; and the accounts that come of it."""

from __future__ import annotations

from dataclasses import dataclass
from random import Random
from typing import Final

import msgspec

from stillwatch.range import texts
from stillwatch.range.crowds.kinds import Crowd, draw_crowd
from stillwatch.range.people import AGENTS, DAY, WEBMAIL, Account, Place, address, mail, person, token
from stillwatch.range.talk import LANGUAGES, Mind, mind
from stillwatch.range.texts import Rng, pick

_SCHOOLS: Final = ("campus-nat", "students", "school", "essay-class")
_FIRMS: Final = ("remote-firm", "unverified-firm", "freelancers", "translators", "annotators")
_HOSTED: Final = ("discord-bots",)


@dataclass(frozen=True, slots=True)
class Setting:
    """A crowd at its place.  ``crowd`` has every parameter; times are epoch seconds."""

    crowd: Crowd
    place: Place
    label: str  # seeds everything that the crowd has in common
    begin: float
    end: float
    exits: tuple[str, ...]
    agents: tuple[str, ...]
    host: str
    language: str
    programme: str

    @property
    def stream(self) -> str:
        """The truth of the crowd's calls."""
        return f"crowd:{self.crowd.name}"

    def shared(self, what: object) -> Random:
        """Random numbers that everybody of the crowd sees alike."""
        return Random(f"{self.label}/{what}")

    def places(self, group: int) -> tuple[str, ...]:
        """Addresses that a group comes from; a crowd without groups is one."""
        n, rng = int(self.get("addresses")), self.shared(f"places/{group}")
        if self.crowd.kind in _HOSTED:  # few networks of one hosting company
            nets = [address(rng).rsplit(".", 1)[0] for _ in range(max(1, n // 3))]
            return tuple(f"{pick(rng, nets)}.{rng.randrange(1, 255)}" for _ in range(n))
        return tuple(address(rng) for _ in range(n))

    def get(self, name: str) -> float:
        """A parameter of the crowd."""
        return float(getattr(self.crowd, name))


def settle(place: Place, crowd: Crowd) -> Setting:
    """Draw what the spec left open and set up what is shared."""
    label = f"{place.seed}/{place.lab}/crowd/{crowd.name or crowd.kind}"
    rng = Random(label)
    full = draw_crowd(crowd, rng)
    if not full.vpn and crowd.vpn is None and _behind(place.spec.honest.vpn, rng):
        full = msgspec.structs.replace(full, vpn=float(round(10 * 20 ** rng.random())))
    days, whole = min(float(full.days or 1), place.spec.days), place.spec.days
    begin = place.begin + rng.uniform(0, max(0.0, whole - days)) * DAY
    exits = tuple(address(rng) for _ in range(int(full.vpn or 0)))
    return Setting(
        full,
        place,
        label,
        begin,
        begin + days * DAY,
        exits,
        _programs(rng, full),
        _host(rng, full),
        pick(rng, LANGUAGES),
        "edu" if rng.random() < 0.4 else "",
    )


def _behind(vpn: str, rng: Rng) -> bool:
    return rng.random() < {"none": 0.0, "some": 0.3, "all": 1.0}[vpn]


def _programs(rng: Rng, crowd: Crowd) -> tuple[str, ...]:
    own = f"{token(rng, 5)}-client/{rng.randrange(1, 9)}.{rng.randrange(12)}"
    n = int(crowd.clients or 0)
    if crowd.kind in ("own-key-app", "privacy-client", "household", "reseller", "coding-agents", "discord-bots"):
        return (own, *rng.sample(AGENTS, max(0, n - 1)))[:n]
    return tuple(rng.sample(AGENTS, min(n, len(AGENTS))))


def _host(rng: Rng, crowd: Crowd) -> str:
    if crowd.kind in _SCHOOLS:
        return f"school-{token(rng, 5)}.example"
    if crowd.kind in _FIRMS:
        return f"firm-{token(rng, 5)}.example"
    # A provider that many use, or one of a country that nobody else here does.
    return (
        pick(rng, WEBMAIL) if rng.random() < 0.5 and crowd.kind not in ("privacy-client", "reseller") else f"mail-{token(rng, 5)}.example"
    )


def _box(s: Setting, rng: Rng) -> str:
    if rng.random() >= s.get("one_mail"):
        return mail(rng)
    if s.crowd.kind == "privacy-client":
        return f"{''.join(pick(rng, 'bcdfghjkmnpqrstvwxz23456789') for _ in range(10))}@{s.host}"
    if s.crowd.kind == "reseller":
        return f"g{rng.randrange(10**6):06d}@{s.host}"
    name = pick(rng, texts.PEOPLE).lower()
    return f"{name}.{pick(rng, texts.PLACES).lower()}{rng.randrange(100)}@{s.host}"


def cast(s: Setting, rng: Rng, group: int, k: int) -> Account:
    """Member ``k`` of group ``group``."""
    who = person(rng, s.place.begin, s.crowd.name, verified=s.get("verified"))
    if rng.random() < s.get("fresh"):
        who.created_at = min(s.begin + rng.uniform(-0.7, 0.3) * s.get("signup_days") * DAY, s.end - DAY / 4)
    who.email = _box(s, rng)
    if (per := int(s.get("per_card"))) > 1:
        who.payment_fingerprint = token(s.shared(f"card/{group}/{k // per}"), 16)
    if rng.random() < s.get("prepaid"):
        who.payment_fingerprint = ""
    if s.crowd.kind in _SCHOOLS:
        who.programme = s.programme
    if s.agents:
        who.agent = pick(rng, s.agents)
    home = who.addresses
    if s.exits:
        who.addresses = [pick(rng, s.exits) for _ in range(rng.randrange(1, 7))]
    elif shared := s.places(group):
        # Addresses are drawn evenly for each call, so repeating the shared ones sets how often the own one is seen.
        often = max(1, round((1 - s.get("away")) * 8))
        mine = [pick(rng, shared) for _ in range(min(len(shared), 3))]
        who.addresses = [pick(rng, mine) for _ in range(often)] + home[:1] * (8 - often)
    return who


def interests(s: Setting, rng: Rng) -> Mind:
    """What one member is about, in the crowd's language where it is one country's."""
    return mind(rng, language=s.language if s.crowd.kind in ("carrier-launch", "reseller", "school") else pick(rng, LANGUAGES))
