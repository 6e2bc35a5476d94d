"""What a world is made of, as a TOML file says it.

A key that is not known is refused with its place, so that a misspelt parameter never passes for its default.
"""

from __future__ import annotations

import tomllib
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any, Final

import msgspec

from stillwatch.range.crowds.kinds import Crowd, crowd_faults
from stillwatch.range.texts import PROMPTED
from stillwatch.records import TECHNIQUES

#: Most campaign accounts and calls a world may ask for; a slip of a zero should not fill a disk.
_MOST: Final = 200_000_000


class SpecError(ValueError):
    """A spec that cannot be used; the message names file and field."""


class _Part(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    pass


class Chat(_Part, frozen=True):
    """People who chat: sessions that grow turn by turn, heavy-tailed numbers of calls, several languages, prompts that went round on the net."""

    accounts: int = 500
    tail: float = 1.3  # Pareto index of calls per account
    most: int = 120
    popular: float = 0.06  # share of asks in a wording that many use
    tasks: float = 0.05  # share of asks that read like a puzzle or an exercise


class Batch(_Part, frozen=True):
    """Companies' batch jobs: disjoint records through one prompt, many keys, one payer who says who he is."""

    companies: int = 3
    keys: int = 6
    calls: int = 100  # a key
    holdings: int = 1  # holdings whose subsidiaries pay each for itself, without a declared organisation
    subsidiaries: int = 4


class Benchmark(_Part, frozen=True):
    """Unrelated people who run one public task list: the same items in every account."""

    accounts: int = 6
    items: int = 150


class Judges(_Part, frozen=True):
    """Evaluation vendors who grade with one public tool, each with a rubric and data of its own."""

    vendors: int = 4
    calls: int = 100


class Course(_Part, frozen=True):
    """A course: campus mail and addresses, one evening a week, the same exercise, everybody verified with an own card."""

    students: int = 40


class Hackathon(_Part, frozen=True):
    """New people with one starter kit who meet for a weekend."""

    people: int = 25


class Reseller(_Part, frozen=True):
    """A gateway: one account, many end users of its own."""

    users: int = 200


class Agents(_Part, frozen=True):
    """Unrelated people who let one public coding agent run around the clock."""

    accounts: int = 6
    calls: int = 150


class Optimisers(_Part, frozen=True):
    """Prompt optimisers: many wordings of one prompt over the same few cases, in one account each."""

    accounts: int = 3
    wordings: int = 20
    cases: int = 8


class Release(_Part, frozen=True):
    """Release-day benchmarking: unrelated customers move half of their traffic to a new model on its first day."""

    accounts: int = 8
    calls: int = 40
    day: float = 5.0


class Synthetic(_Part, frozen=True):
    """Permitted makers of synthetic data: verified, old accounts with a catalogue of their own."""

    accounts: int = 3
    calls: int = 150


class Migration(_Part, frozen=True):
    """Companies that move from one key to the next in the middle: one account stops, another goes on with the same prompt and card."""

    companies: int = 2
    calls: int = 100


class Multihoming(_Part, frozen=True):
    """Honest customers of every lab: companies and resellers with one card and mail domain, people with one card, mail name and address; the same at each lab."""

    companies: int = 0
    resellers: int = 0
    people: int = 0
    calls: int = 40  # of a company at each lab


class Honest(_Part, frozen=True):
    """Honest populations of one lab; sizes are counts."""

    chat: Chat = Chat()
    batch: Batch = Batch()
    benchmark: Benchmark = Benchmark()
    judges: Judges = Judges()
    course: Course = Course()
    hackathon: Hackathon = Hackathon()
    reseller: Reseller = Reseller()
    agents: Agents = Agents()
    optimisers: Optimisers = Optimisers()
    release: Release = Release()
    synthetic: Synthetic = Synthetic()
    migration: Migration = Migration()
    multihoming: Multihoming = Multihoming()
    crowds: tuple[Crowd, ...] = ()
    vpn: str = "none"  # crowds behind a VPN of 10 to 200 exits: "none" but those that say so, "some" or "all"


class Ring(_Part, frozen=True):
    """A campaign.  ``techniques`` are shares of its prompts by technique id, or "bare" for items without any template.

    Access: ``accounts_per_card`` (D01), ``stolen`` share of accounts that are honest people's (D02), ``programme`` share on a programme (D03), ``pool``
    addresses (D04), ``pool_kind``, ``addresses_per_account`` (0 draws anew for each call), ``shell`` one declared gateway account in front (D05), ``slices``
    (D06), ``camouflage`` ordinary calls per harvest call (D07), ``paths`` access paths (D08), ``sanitised`` no client to be seen (D09), ``ban_day`` half of the
    accounts stop and fresh ones go on (D10).  Adaptation: ``pivot_day`` (D24); probes are technique D25; several labs (D26) come from the world's ``labs``.
    ``relay`` (D20) puts requests of the ring's own users through; ``replay`` (D21) sends them again later.
    """

    name: str
    preset: str = ""
    accounts: int = 30
    calls: float = 20.0  # harvest calls per account
    calls_spread: str = "even"  # "even" as a balancer deals, or "heavy" as people use
    begin: float = 0.0  # day
    days: float | None = None  # None: to the end of the world
    techniques: dict[str, float] = msgspec.field(default_factory=lambda: {"D11": 0.7, "D16": 0.3})
    variants: int = 1  # wordings per technique
    languages: int = 1
    slices: bool = True  # False: every account works through the same list
    camouflage: float = 1.0
    accounts_per_card: int = 4
    stolen: float = 0.0
    programme: float = 0.0
    mail: str = "pattern"  # "pattern", "people" (as anybody's) or "catch-all" (own domain)
    pool: int = 60
    pool_kind: str = "residential"  # or "datacentre": few networks
    addresses_per_account: int = 0
    age_days: float = 3.0  # accounts are made up to so many days before the beginning ...
    signup_days: float = 2.0  # ... and up to so many days into it
    verified: float = 0.3
    clients: int = 1  # different client programs
    sanitised: bool = False
    shell: bool = False
    paths: int = 1
    ban_day: float | None = None
    pivot_day: float | None = None
    relay: float = 0.0
    compare: float = 0.0  # share of prompts that go to every lab in the same words, to compare teachers
    replay: float = 0.0


class Prices(_Part, frozen=True):
    """What the adversary pays, in dollars.  Defaults are the range's own choice, to be replaced by what a reader's market shows."""

    account: float = 0.5
    verified_account: float = 5.0
    card: float = 4.0
    address: float = 0.3  # a proxy address for the length of the world
    calls: float = 5.0  # per 1,000 calls, harvest and camouflage alike, at the grey market's tenth of list price


class Play(_Part, frozen=True):
    """How the game goes.  ``budget`` in dollars; a ban comes ``delay`` days after a finding; ``adapt`` lets the adversary change its ways after a ban."""

    budget: float = 2000.0
    delay: float = 1.0
    adapt: bool = True
    calls_per_day: float = 10.0  # harvest calls an active account sends a day, at the beginning


class WorldSpec(_Part, frozen=True):
    """A world.  ``start`` is a UTC date, ``days`` its length; ``labs`` above 1 gives every lab honest customers of its own and shares the rings out."""

    name: str = "world"
    note: str = ""  # what the world is to show
    start: date = date(2026, 6, 1)
    days: float = 14.0
    labs: int = 1
    honest: Honest = Honest()
    campaigns: tuple[Ring, ...] = (Ring(name="hydra"),)
    organisations: str = "none"  # accounts that declared none get an organisation id of their own: "none", "some" or "all"
    answers: bool = False  # answers have content, people have interests and follow up
    chat_prompts: str = ""  # a file of prompts to chat with instead of the grammar's
    task_prompts: str = ""  # a file of items to harvest instead of the grammar's
    prices: Prices = Prices()
    play: Play = Play()

    @property
    def begin(self) -> float:
        """Epoch seconds of the beginning."""
        return datetime(self.start.year, self.start.month, self.start.day, tzinfo=UTC).timestamp()


#: The reported campaigns at a scale of 1: (exchanges, accounts, exchanges per account and day; 0 where the reports do not say).  Accounts or rates that
#: are missing are filled in from the two that are there; see the table of docs/range.md for the sources.
REPORTED: Final = {
    "alpaca": (52_000, 1, 0.0),
    "early-2026-small": (150_000, 225, 0.0),
    "early-2026-middle": (3_400_000, 5_100, 0.0),
    "early-2026-large": (13_000_000, 19_500, 0.0),
    "forty-five-days": (28_800_000, 25_000, 26.0),
    "replayed-reasoning": (16_000, 4_000, 2.0),
    "relayed-customers": (23_000_000, 5_380, 5.6),
    "seventeen-days": (3_400_000, 273, 282.0),
}
_STYLE: Final[dict[str, dict[str, Any]]] = {
    "alpaca": {"techniques": {"D18": 1.0}, "camouflage": 0.0, "verified": 0.0, "pool": 1, "age_days": 1.0, "signup_days": 0.0},
    "replayed-reasoning": {"techniques": {"D14": 0.8, "D11": 0.2}, "camouflage": 0.0},
    "relayed-customers": {"techniques": {"D11": 1.0}, "relay": 1.0, "camouflage": 0.0},
    "seventeen-days": {"techniques": {"D11": 0.5, "D16": 0.5}, "camouflage": 0.5, "ban_day": 6.0},
}


def preset(name: str, scale: float, days: float) -> dict[str, Any]:
    """The parameters of a reported campaign at ``scale``: fewer accounts, each as busy as reported, where that can be within ``days``.

    One account stays one account; its calls are scaled instead.
    """
    calls, accounts, rate = REPORTED[name]
    if accounts == 1:
        return {"accounts": 1, "calls": max(1.0, calls * scale)} | _STYLE.get(name, {})
    length = calls / accounts / rate if rate else 45.0
    each = calls / accounts * min(1.0, days / length)
    return {"accounts": max(1, round(accounts * scale)), "calls": max(1.0, each)} | _STYLE.get(name, {})


def load_spec(path: Path) -> WorldSpec:
    """Read a spec.

    Raises:
        SpecError: the file cannot be read, or a field is unknown, of a wrong type or out of its range.
    """
    try:
        raw = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise SpecError(f"{path}: cannot be read ({error.strerror}); name a TOML file such as those in specs/") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SpecError(f"{path}: not TOML: {error}") from None
    days = raw.get("days", 14.0)
    rings = raw.get("campaigns", [])
    for at, ring in enumerate(rings if isinstance(rings, list) else []):
        if isinstance(ring, dict) and "preset" in ring:
            if ring["preset"] not in REPORTED:
                raise SpecError(f"{path}: campaigns[{at}].preset: {ring['preset']!r} is none of {', '.join(REPORTED)}")
            scale = ring.pop("scale", 0.01)
            if not isinstance(scale, (int, float)) or not 0 < scale <= 1 or not isinstance(days, (int, float)):
                raise SpecError(f"{path}: campaigns[{at}].scale: a number above 0 and at most 1 is needed")
            raw["campaigns"][at] = preset(ring["preset"], scale, days) | ring
    try:
        spec = msgspec.convert(raw, WorldSpec)
    except msgspec.ValidationError as error:
        raise SpecError(f"{path}: {error}; see docs/range.md for the fields") from None
    for where, wrong in _faults(spec):
        raise SpecError(f"{path}: {where}: {wrong}")
    return spec


def _faults(spec: WorldSpec) -> list[tuple[str, str]]:
    out = []
    if not 0 < spec.days <= 3660:
        out.append(("days", "more than 0 and at most 3660 are needed"))
    if not 1 <= spec.labs <= 100:
        out.append(("labs", "1 to 100 are needed"))
    for where, value in (("organisations", spec.organisations), ("honest.vpn", spec.honest.vpn)):
        if value not in ("none", "some", "all"):
            out.append((where, f"{value!r} is none of none, some, all"))
    if spec.honest.crowds and not spec.answers:
        out.append(("answers", "crowds talk in answers with content; set answers = true"))
    out += crowd_faults(spec.honest.crowds)
    names = [r.name for r in spec.campaigns]
    for at, r in enumerate(spec.campaigns):
        field = f"campaigns[{at}]"
        unknown = sorted(set(r.techniques) - {*PROMPTED, "bare"})
        if unknown:
            known = [t for t in unknown if t in TECHNIQUES]
            hint = "has a field of its own or cannot be seen in a log" if known else f"use {', '.join(PROMPTED)} or bare"
            out.append((f"{field}.techniques", f"{unknown[0]}: {hint}"))
        if not r.techniques or any(share < 0 for share in r.techniques.values()) or sum(r.techniques.values()) <= 0:
            out.append((f"{field}.techniques", "at least one share above 0 is needed, none below"))
        if r.accounts < 1 or r.calls <= 0 or r.accounts * r.calls * (1 + max(0.0, r.camouflage)) > _MOST:
            out.append((field, f"accounts and calls must be above 0 and come to at most {_MOST:,} calls"))
        for name, value, words in (
            ("calls_spread", r.calls_spread, ("even", "heavy")),
            ("mail", r.mail, ("pattern", "people", "catch-all")),
            ("pool_kind", r.pool_kind, ("residential", "datacentre")),
        ):
            if value not in words:
                out.append((f"{field}.{name}", f"{value!r} is none of {', '.join(words)}"))
        out += [
            (f"{field}.{n}", "a share from 0 to 1 is needed")
            for n in ("stolen", "programme", "verified", "relay", "replay")
            if not 0 <= getattr(r, n) <= 1
        ]
        out += [
            (f"{field}.{n}", "at least 1 is needed")
            for n in ("variants", "languages", "accounts_per_card", "pool", "clients", "paths")
            if getattr(r, n) < 1
        ]
        out += [
            (f"{field}.{n}", "0 or more is needed")
            for n in ("camouflage", "age_days", "signup_days", "addresses_per_account", "begin")
            if getattr(r, n) < 0
        ]
        if names.count(r.name) > 1 or not r.name.replace("-", "").replace("_", "").isalnum():
            out.append((f"{field}.name", "names are letters, digits, - and _, each once"))
    return out


def prompts(path: str) -> tuple[str, ...]:
    """Prompts of a user's own file: one a line, or JSON lines with a string or a ``prompt`` or ``text`` field.

    Raises:
        SpecError: with file and line.
    """
    try:
        lines = Path(path).read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise SpecError(f"{path}: cannot be read as UTF-8 text: {error}") from None
    out = []
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        if not path.endswith((".jsonl", ".ndjson")):
            out.append(line.strip())
            continue
        try:
            value = msgspec.json.decode(line)
        except msgspec.DecodeError as error:
            raise SpecError(f"{path}, line {number}: not JSON: {error}") from None
        text = value if isinstance(value, str) else (value.get("prompt") or value.get("text")) if isinstance(value, dict) else None
        if not isinstance(text, str):
            raise SpecError(f"{path}, line {number}: no prompt or text field with a string")
        out.append(text)
    if not out:
        raise SpecError(f"{path}: holds no prompts")
    return tuple(out)


def small_world() -> WorldSpec:
    """The demo's world: about 12,500 calls."""
    return WorldSpec()


def scaled_world(calls: int) -> WorldSpec:
    """A world of about ``calls`` calls in the small world's mix."""
    f = calls / 12_500
    return WorldSpec(
        name="scaled",
        honest=Honest(
            chat=Chat(accounts=round(500 * f)),
            batch=Batch(companies=max(1, round(3 * f)), holdings=max(1, round(f))),
            benchmark=Benchmark(accounts=max(2, round(6 * f))),
            course=Course(students=max(5, round(40 * min(f, 5)))),
            hackathon=Hackathon(people=max(5, round(25 * min(f, 5)))),
            reseller=Reseller(users=round(200 * f)),
            judges=Judges(vendors=max(1, round(4 * f))),
            agents=Agents(accounts=max(1, round(6 * f))),
            optimisers=Optimisers(accounts=max(1, round(3 * f))),
            release=Release(accounts=max(1, round(8 * f))),
            synthetic=Synthetic(accounts=max(1, round(3 * f))),
            migration=Migration(companies=max(1, round(2 * f))),
        ),
        campaigns=(Ring(name="hydra", accounts=max(3, round(30 * f)), pool=max(6, round(60 * f))),),
    )


def allied_world(labs: int) -> WorldSpec:
    """Rings of 8 and 15 quiet accounts at each of ``labs`` labs, whose cards are shared between labs and never within one; honest customers of several labs."""
    quiet = Ring(name="quiet", accounts_per_card=labs, mail="people", addresses_per_account=2, age_days=200.0, verified=0.5)
    few = {
        "name": "thin-a",
        "accounts": 8 * labs,
        "calls": 12.0,
        "camouflage": 1.0,
        "pool": 133 * labs,
        "techniques": {"D11": 1.0},
        "variants": 2,
    }
    more = {
        "name": "thin-b",
        "accounts": 15 * labs,
        "calls": 8.0,
        "camouflage": 2.0,
        "pool": 200 * labs,
        "techniques": {"D18": 1.0},
        "variants": 3,
    }
    rings = (msgspec.structs.replace(quiet, **few), msgspec.structs.replace(quiet, **more, languages=2))
    honest = Honest(chat=Chat(accounts=1500), multihoming=Multihoming(companies=25, resellers=3, people=60))
    return WorldSpec(name="thin-rings", labs=labs, honest=honest, campaigns=rings)
