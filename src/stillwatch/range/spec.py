"""What a world is made of, as a TOML file says it.

A key that is not known is refused with its place, so that a misspelt parameter never passes for its default.
"""

from __future__ import annotations

import tomllib
from datetime import UTC, date, datetime
from pathlib import Path

import msgspec

from stillwatch.range.crowds.kinds import Crowd, crowd_faults
from stillwatch.range.errors import SpecError
from stillwatch.range.prices import Prices
from stillwatch.range.reported import REPORTED, preset
from stillwatch.range.ring import Ring, ring_faults


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
    return out + ring_faults(spec.campaigns, spec.honest.crowds)


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
