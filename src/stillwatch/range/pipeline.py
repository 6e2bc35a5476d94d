"""A ring that works as a pipeline: every stage takes the answer of the stage before, and a load balancer deals the stages over the accounts.

What a job says, when it runs and who runs each of its stages is drawn from the job's number alone, so that every account knows its part without the others.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from random import Random
from typing import Final

from stillwatch.range import texts
from stillwatch.range.people import DAY
from stillwatch.range.ring import Ring
from stillwatch.range.talk import Mind, answer, mind, passage
from stillwatch.range.texts import pick

_STAGES: Final[tuple[tuple[tuple[str, ...], ...], ...]] = (
    (
        ("Invent one new exercise", "Write a fresh training instruction", "Make up a question for a tutor"),
        ("in the style of the seed", "that shares nothing with the seed but its kind"),
        ("and solve it.", "with a full answer."),
        ("\n\nSeed: {x}",),
    ),
    (
        ("Rewrite the given task into a harder version", "Evolve the instruction below", "Deepen the prompt"),
        ("by one constraint", "by two reasoning steps", "without making it longer than thirty words more"),
        ("and answer the new version.", "then respond to it."),
        ("\n\n#Given#\n{x}",),
    ),
    (
        ("Judge the response below", "Rate this sample for a dataset", "Review the answer"),
        ("for correctness and depth,", "for style and truth,"),
        ("first in words, then from 1 to 10.", "name flaws, then give a score."),
        ("\n\n[Response]\n{x}",),
    ),
    (
        ("Improve the text according to the critique", "Refine the draft", "Produce the final version of the sample"),
        ("and keep what is right.", "without losing facts."),
        ("\n\nDraft:\n{x}",),
    ),
)


def stage_template(ring: Ring, stage: int, variant: int) -> str:
    """The prompt of a stage about ``{x}``, the answer of the stage before."""
    rng = Random(f"{ring.name}/stage/{stage}/{variant}")
    return " ".join(pick(rng, slot) for slot in _STAGES[stage]).replace(" \n\n", "\n\n")


def weights(ring: Ring, seed: int) -> list[float]:
    """What share of the work each account gets, up to a factor."""
    rng = Random(f"{seed}/{ring.name}/weights")
    return [math.exp(rng.gauss(0, 1)) if ring.calls_spread == "log-normal" else 1.0 for _ in range(ring.accounts)]


def jobs(
    ring: Ring, seed: int, k: int, begin: float, end: float, item: Callable[[Random, int], str]
) -> Iterator[tuple[float, int, int, str, str]]:
    """The stages that account ``k`` runs: (epoch seconds, job, stage, what goes in, what comes out)."""
    share = weights(ring, seed)
    everybody = range(ring.accounts)
    for job in range(max(1, round(ring.accounts * ring.calls / ring.stages))):
        rng = Random(f"{seed}/{ring.name}/job/{job}")
        one, stays = rng.choices(everybody, share)[0], rng.random() < ring.sticky
        at = rng.uniform(begin, max(begin, end - ring.stages * DAY / 8))
        of = mind(rng)
        text = item(rng, job)
        for stage in range(ring.stages):
            who = one if stays else rng.choices(everybody, share)[0]
            reply = answer(rng, of)
            if who == k:
                yield at, job, stage, text, reply
            text = _reworded(rng, of, reply) if rng.random() < ring.launder else reply
            at += 30 + rng.expovariate(1 / 1800)


def _reworded(rng: Random, of: Mind, reply: str) -> str:
    """The answer in other words: as long, and no run of it left."""
    return f"{passage(rng, of, max(1, reply.count('.')))} {texts.clause(rng)}."
