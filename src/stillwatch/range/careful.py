"""What a careful ring's account has of its own: wording, settings, program, home, mail, firm."""

from __future__ import annotations

from random import Random
from typing import Any, Final

from stillwatch.range import texts
from stillwatch.range.people import AGENTS, Place, address, token
from stillwatch.range.ring import Ring
from stillwatch.range.subjects import SUBJECTS
from stillwatch.range.texts import Rng, pick

#: Words for one wish, position by position; order and joints change too, so that two wordings have no long run in common.
_SHOW: Final = ("show", "write out", "lay bare", "note", "record", "set down", "list", "spell out", "put on paper", "trace")
_ALL: Final = ("all of", "the whole of", "every bit of", "the complete", "the full", "the entire", "each part of")
_THINKING: Final = (
    "your reasoning",
    "your thinking",
    "the derivation",
    "your working",
    "the train of thought",
    "what goes on in your head",
    "your deliberation",
    "the inner notes",
)
_MARK: Final = (
    "in [[ ]]",
    "between two lines of dashes",
    "under WORK",
    "inside <r></r>",
    "as a numbered list",
    "in a code block",
    "above a ruled line",
    "in italics",
    "as bullet points",
)
_HOW: Final = ("no gaps", "with wrong turns", "doubts too", "uncut", "nothing tidied", "at length", "without shortcuts", "as it comes")
_END: Final = (
    "then the result",
    "the answer last",
    "close with what you conclude",
    "finish with the solution",
    "after that one final line",
    "ending in a verdict",
    "and sum up",
)
_SOFT: Final = ("", "please", "if you can", "for me", "first", "before replying", "as a start", "up front", "to begin with")


def own_wording(ring: Ring, k: int) -> str:
    """The wrapper of account ``k`` about ``{x}``, as a cheap model would reword it: the same wish, order, joints and words of its own."""
    rng = Random(f"{ring.name}/own-wording/{k}")
    parts = [f"{pick(rng, _SHOW)} {pick(rng, _ALL)} {pick(rng, _THINKING)} {pick(rng, _MARK)}", pick(rng, _HOW), pick(rng, _END)]
    if rng.random() < 0.3:
        parts = [parts[0], parts[2], parts[1]]
    said = pick(rng, (", ", "; ", " - ", ". ", ", and ", " / ")).join(parts)
    soft = pick(rng, _SOFT)
    said = f"{soft} {said}" if rng.random() < 0.5 else f"{said}, {soft}" if soft else said
    said = said.strip().capitalize() + pick(rng, (".", "", ":", "!"))
    if rng.random() < 0.4:
        said = f"{said} {texts.clause(rng)}, by the way."
    return f"{said}\n\n{{x}}" if rng.random() < 0.5 else f"{{x}}\n{said}"


def own_settings(ring: Ring, rng: Rng, k: int) -> dict[str, Any]:
    """Sampling settings drawn for an account, or for each call."""
    draw = rng if ring.settings == "call" else Random(f"{ring.name}/settings/{k}")
    out: dict[str, Any] = {"temperature": round(draw.uniform(0.2, 1.1), 2)}
    if draw.random() < 0.8:
        out["max_tokens"] = draw.randrange(600, 5000)
    return out


def own_homes(ring: Ring, place: Place, k: int) -> list[str]:
    """Addresses of account ``k``; those of one sham home share them."""
    rng = Random(f"{place.seed}/{ring.name}/home/{k // ring.home}")
    return [address(rng) for _ in range(1 + (rng.random() < 0.5))]


def own_agent(ring: Ring, k: int) -> str:
    """The client program of account ``k``."""
    return pick(Random(f"{ring.name}/agent/{k}"), AGENTS)


def firm_name(ring: Ring, place: Place, k: int) -> str:
    """What the accounts of one sham firm type in as their organisation."""
    rng = Random(f"{place.seed}/{ring.name}/firm/{k // ring.firm}")
    return f"{pick(rng, texts.TRAITS)} {pick(rng, texts.THINGS)} {pick(rng, ('Ltd', 'GmbH', 'Inc', 'Labs', 'SA'))} {token(rng, 2)}".title()


def sham_mail(ring: Ring, place: Place, rng: Rng, k: int) -> str:
    """A mailbox at the ring's sham college, or at the domain of the account's sham firm."""
    own = Random(f"{place.seed}/{ring.name}/domain/{0 if ring.mail == 'college' else k // ring.firm}")
    host = f"{'college' if ring.mail == 'college' else 'firm'}-{token(own, 5)}.example"
    return f"{pick(rng, texts.PEOPLE).lower()}.{pick(rng, texts.PLACES).lower()}{rng.randrange(100)}@{host}"


_EXERCISES: Final = (
    "A {a} is {w} after {k} days and the {b} is not. Say why and what {n} should measure next.", "Derive how {a} depends on {b} if {n} doubles the {t} and keeps {k} apart.",
    "{n} claims that {a} needs {k} times the {b}. Find the flaw.", "Design a test that tells {a} from {b} with {k} samples.", "Prove or refute: without {b} no {a} lasts {k} weeks.",
    "Rank {a}, {b} and a {w} {t} by cost for {n} in {p}; budget {k}.", "What is the expected {b} when {k} of {j} {a}s fail?", "Explain step by step how {n} gets from {a} to {b} in {k} moves.",
    "Given {k} {t}s and a {w} {a}, compute the least {b}.", "Write a short proof that {a} and {b} cannot both be {w} in {p}.",
)  # fmt: skip


def exercise(rng: Rng, subject: int, number: int) -> str:
    """An item of a list that is sorted by subject; ``number`` keeps two apart."""
    words = SUBJECTS[tuple(SUBJECTS)[subject % len(SUBJECTS)]]
    text = pick(rng, _EXERCISES).format(
        a=pick(rng, words), b=pick(rng, words), w=pick(rng, texts.TRAITS), n=pick(rng, texts.PEOPLE), t=pick(rng, texts.THINGS), p=pick(rng, texts.PLACES),
        k=rng.randrange(2, 90), j=rng.randrange(90, 400),
    )  # fmt: skip
    return f"{text} [{number}]"
