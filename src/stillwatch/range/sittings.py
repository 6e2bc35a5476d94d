"""Sittings: somebody sits down, asks, reads, asks again; the list of messages grows, with the answers in it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from stillwatch.range.people import DAY, Account, Call
from stillwatch.range.talk import Mind, answer, ask, back, follow_up
from stillwatch.range.texts import Rng, pick


@dataclass(frozen=True, slots=True)
class Manner:
    """How somebody uses the model.

    Shares from 0 to 1: ``own`` of words from the person's interests, ``follow_ups`` of calls that go on with a conversation, ``paste`` of conversations that
    begin with an earlier answer, ``wander`` of follow-ups that go out under another key of the same group and of pasted answers that another of the group got.
    """

    own: float = 0.8
    follow_ups: float = 0.5
    paste: float = 0.02
    wander: float = 0.0
    system: str = ""
    model: str = "model-large"
    params: dict[str, Any] = field(default_factory=dict)
    longest: int = 16  # messages of a conversation


#: (when it came, answer): what the people of one group could bring back.
Kept = list[tuple[float, str]]


def talking(
    rng: Rng,
    times: Sequence[float],
    who: Account,
    of: Mind,
    how: Manner,
    stream: str,
    *,
    opening: Callable[[Rng], str] | None = None,
    going_on: Callable[[Rng], str] | None = None,
    group: Sequence[Account] = (),
    kept: Kept | None = None,
) -> Iterator[Call]:
    """Conversations that begin at ``times``; a follow-up takes the place of a beginning and comes minutes after the call before it.

    Args:
        opening: makes the first message of a conversation; None lets people ask about their interests.
        going_on: makes follow-ups.
        group: the other accounts that a conversation may wander to.
        kept: the group's answers so far, which grow; None keeps them to the account.
    """
    history: list[dict[str, Any]] = []
    mine: Kept = []
    last = 0.0
    for when in times:
        at, key = when, who
        if history and len(history) < how.longest and rng.random() < how.follow_ups:
            at = last + 20 + rng.expovariate(1 / 150)
            text = going_on(rng) if going_on else follow_up(rng, of, how.own)
            others = [g for g in group if g.created_at < at]
            if others and rng.random() < how.wander:
                key = pick(rng, others)
        else:
            history = [{"role": "system", "content": how.system}] if how.system else []
            text = ""
            if rng.random() < how.paste:
                source = kept if kept is not None and rng.random() < how.wander else mine
                before = [reply for since, reply in source[-200:] if since < at]
                text = back(rng, of, pick(rng, before[-20:])) if before else ""
            text = text or (opening(rng) if opening else ask(rng, of, how.own))
        turns = [*history, {"role": "user", "content": text}]
        reply = answer(rng, of)
        yield Call(at, key, stream, turns, how.model, how.params, who.agent, pick(rng, who.addresses), reply=reply)
        history, last = [*turns, {"role": "assistant", "content": reply}], at
        mine.append((at, reply))
        if kept is not None:
            kept.append((at, reply))


def bursts(rng: Rng, begin: float, end: float, n: int, since: float) -> list[float]:
    """``n`` times of somebody who has a job to do: a few stretches of work, one call after the other."""
    out: list[float] = []
    late = min(max(begin, since), end - DAY / 24)
    while len(out) < n:
        day = late + rng.random() * max(0.0, end - late)
        at = max(late, day - day % DAY + rng.gauss(14, 3) * 3600)
        gap = 20 + rng.expovariate(1 / 90)
        for _ in range(min(n - len(out), 1 + int(rng.expovariate(1 / 15)))):
            at += rng.expovariate(1 / gap)
            out.append(at)
    return sorted(out)
