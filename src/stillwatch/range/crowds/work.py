"""What crowds do, a generator a kind; units are groups where a kind has groups, else accounts."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from random import Random
from typing import Final, TypeAlias

from stillwatch.range.crowds.kinds import RANGES, Crowd, draw_crowd
from stillwatch.range.crowds.setting import Setting, cast, interests, settle
from stillwatch.range.crowds.words import SYSTEM, house_prompt
from stillwatch.range.people import DAY, Account, Call, Place, waking
from stillwatch.range.sittings import Kept, Manner, bursts, talking
from stillwatch.range.talk import Mind, ask, passage
from stillwatch.range.texts import Rng, pick

#: (name, units, calls of a unit in the mean, generator of a unit's calls)
Population: TypeAlias = tuple[str, int, float, Callable[[Rng, Rng, int], Iterator[Call]]]

#: Kinds that have a job to do; the others talk.
_JOBS: Final = ("annotators", "students", "remote-firm", "translators", "unverified-firm", "freelancers")
#: Kinds in which only a part of the conversations uses the shared template, and how large a part it may be.
_PARTLY: Final = {"campus-nat": (0.2, 0.7), "school": (0.3, 0.9)}
_LENGTH: Final = {
    "annotators": (1, 4),
    "students": (1, 1),
    "remote-firm": (2, 5),
    "translators": (4, 9),
    "unverified-firm": (2, 5),
    "freelancers": (4, 9),
}


def amount(s: Setting, rng: Rng) -> int:
    """Calls of one account: log-normal about the crowd's median, or the same for all where the task has a fixed size."""
    return max(1, min(20 * round(s.get("calls")), round(s.get("calls") * math.exp(rng.gauss(0, 1) * s.get("spread")))))


def _settings(s: Setting) -> tuple[str, dict[str, float]]:
    """Model and parameters that the crowd's program, template or notebook comes with."""
    rng = s.shared("settings")
    if s.crowd.kind == "students":
        return "model-small", {"temperature": 0, "max_tokens": pick(rng, (8, 16, 32))}
    params: dict[str, float] = {}
    if rng.random() < 0.5:
        params["temperature"] = round(rng.uniform(0, 1.2), 1)
    if rng.random() < 0.3:
        params["max_tokens"] = pick(rng, (300, 512, 800, 1024, 2048))
    return pick(rng, ("model-large", "model-small")), params if s.agents else {}


def manner(s: Setting) -> Manner:
    """How the crowd's people use the model."""
    model, params = _settings(s)
    kind = s.crowd.kind
    system = house_prompt(s.shared("prompt"), kind) if kind in SYSTEM else ""
    return Manner(
        s.get("interests"),
        s.get("follow_ups"),
        s.get("paste"),
        s.get("wander"),
        system,
        model,
        dict(params),
        40 if kind == "coding-agents" else 16,
    )


def _openings(s: Setting, of: Mind) -> Callable[[Rng], str] | None:
    """First messages of a conversation: None asks freely."""
    kind, own = s.crowd.kind, s.get("interests")
    if kind in SYSTEM:
        return (lambda rng: f"Task: {passage(rng, of, 1, own)} Make the tests pass.") if kind == "coding-agents" else None
    template = house_prompt(s.shared("prompt"), kind)
    if kind in _PARTLY:
        part = s.shared("part").uniform(*_PARTLY[kind])
        return lambda rng: template.replace("{x}", passage(rng, of, rng.randrange(1, 5), own)) if rng.random() < part else ask(rng, of, own)
    if kind in _JOBS:
        low, high = _LENGTH[kind]
        return lambda rng: template.replace("{x}", passage(rng, of, rng.randint(low, high), own)).replace("{y}", passage(rng, of, 1, own))
    return None


def _going_on(s: Setting, of: Mind) -> Callable[[Rng], str] | None:
    if s.crowd.kind != "coding-agents":
        return None
    return lambda rng: (
        f"exit {rng.randrange(3)} after {rng.randrange(1, 900) / 10} s\n{passage(rng, of, rng.randrange(1, 4), s.get('interests'))}"
    )


def _calls(s: Setting, rng: Rng, who: Account, of: Mind, how: Manner, group: Sequence[Account], kept: Kept | None) -> Iterator[Call]:
    n = amount(s, rng)
    times = (
        bursts(rng, s.begin, s.end, n, who.created_at)
        if s.crowd.kind in _JOBS
        else waking(rng, s.begin, (s.end - s.begin) / DAY, n, who.created_at)
    )
    yield from talking(rng, times, who, of, how, s.stream, opening=_openings(s, of), going_on=_going_on(s, of), group=group, kept=kept)


def unit(place: Place, crowd: Crowd, shared: Rng, rng: Rng, index: int) -> Iterator[Call]:
    """One account of a crowd without groups, or one group."""
    s = settle(place, crowd)
    size = int(s.get("group"))
    how = manner(s)
    if size == 1:
        who = cast(s, rng, 0, index)
        yield from _calls(s, rng, who, interests(s, rng), how, (), None)
        return
    people = [cast(s, rng, index, k) for k in range(size)]
    kept: Kept = []
    for who in people:
        yield from _calls(s, rng, who, interests(s, rng), how, [p for p in people if p is not who], kept)


def tutorial(place: Place, crowd: Crowd, shared: Rng, rng: Rng, index: int) -> Iterator[Call]:
    """One reader of a tutorial: the notebook's cells in order, as far as it went, then a try or two of his own."""
    s = settle(place, crowd)
    lesson = s.shared("notebook")
    cells = [
        house_prompt(s.shared("prompt"), "tutorial").replace("{x}", passage(lesson, interests(s, lesson), 2))
        for _ in range(lesson.randrange(4, 13))
    ]
    who, how = cast(s, rng, 0, index), manner(s)
    of = interests(s, rng)
    done = cells[: max(1, min(len(cells), round(rng.gauss(0.8, 0.25) * len(cells))))]
    trials = [
        house_prompt(s.shared("prompt"), "tutorial").replace("{x}", passage(rng, of, 2)) for _ in range(max(0, amount(s, rng) - len(done)))
    ]
    texts = iter([*done, *trials])
    times = bursts(rng, s.begin, s.end, len(done) + len(trials), who.created_at)
    yield from talking(rng, times, who, of, how, s.stream, opening=lambda own: next(texts, "") or ask(own, of, 0.8))


def _first(text: str, of: Mind, own: float) -> Callable[[Rng], str]:
    """Openings of somebody who says ``text`` first and asks freely from there on."""
    left = iter([text])
    return lambda rng: next(left, "") or ask(rng, of, own)


def essay_class(place: Place, crowd: Crowd, shared: Rng, rng: Rng, index: int) -> Iterator[Call]:
    """One class: pupils let the model draft an essay and hand it in; the teacher pastes every essay for a mark; some pupils bring the feedback back."""
    s = settle(place, crowd)
    teacher, how = cast(s, rng, index, 0), manner(s)
    teacher.created_at = min(teacher.created_at, s.begin)
    topic = interests(s, s.shared(f"topic/{index}"))
    template = house_prompt(s.shared("prompt"), "essay-class")
    handed_in = s.begin + 0.6 * (s.end - s.begin)
    essays: list[tuple[Account, Mind, str]] = []
    for k in range(1, int(s.get("group"))):
        who, of = cast(s, rng, index, k), interests(s, rng)
        drafts: Kept = []
        who.created_at = min(who.created_at, handed_in - DAY / 4)
        wish = f"Write an essay of 300 words about {topic.word(rng, 1)} and {topic.word(rng, 1)} for school"
        times = waking(rng, s.begin, (handed_in - s.begin) / DAY, amount(s, rng), who.created_at)
        calm = Manner(how.own, how.follow_ups, 0.0, 0.0, "", how.model, {})
        yield from talking(rng, times, who, of, calm, s.stream, opening=_first(wish, of, how.own), kept=drafts)
        essays.append((who, of, drafts[0][1]))
    marking = bursts(rng, handed_in, s.end, len(essays), teacher.created_at)
    for at, (who, of, essay) in zip(marking, essays, strict=True):
        opening = _first(template.replace("{x}", essay), topic, 1.0)
        (call,) = talking(rng, [at], teacher, topic, Manner(paste=0.0), s.stream, opening=opening)
        yield call
        if rng.random() < s.get("paste"):
            asked = f"My teacher wrote this. What should I change?\n\n{call.reply}"
            later = [at + rng.uniform(0.5, 20) * 3600]
            yield from talking(rng, later, who, of, Manner(paste=0.0), s.stream, opening=_first(asked, of, 1.0))


_MAKERS: Final = {"tutorial": tutorial, "essay-class": essay_class}


def populations(place: Place) -> list[Population]:
    """The crowds of a world; sizes are drawn here where the spec left them open."""
    out: list[Population] = []
    for crowd in place.spec.honest.crowds:
        s = settle(place, crowd)
        size = int(s.get("group"))
        units = max(1, round(s.get("accounts") / size))
        out.append((f"crowd:{s.crowd.name}", units, size * s.get("calls") * 1.3, partial(_MAKERS.get(crowd.kind, unit), place, crowd)))
    return out


def sample(rng: Random) -> tuple[Crowd, ...]:
    """One crowd of each kind with parameters drawn by ``rng``."""
    return tuple(draw_crowd(Crowd(kind=kind), rng) for kind in RANGES)
