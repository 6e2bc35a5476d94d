"""Leads: groups that are worth a person's look and are no campaign, the most worth first."""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from stillwatch.watch.campaign.groups import INSTITUTION
from stillwatch.watch.campaign.harvest import MIN_TEXTS, Harvest
from stillwatch.watch.campaign.judge import Judged
from stillwatch.watch.campaign.population import Population
from stillwatch.watch.campaign.scoring import MIN_OWNERS, Score

#: Different texts below which a group is too small to be led by.
MIN_LEAD_TEXTS: Final = 20
#: Bits of worth below which nobody need look, and leads at most.
LEAST_WORTH: Final = 2.0
MOST: Final = 200
#: Bits of one hand that count at most, so that what is no harvest does not come first.
HAND_MOST: Final = 8.0
#: What one card for several people who share no home is worth as a lead: about one in fifty honest cards serves several accounts.
CARD: Final = 5.0
#: A group that better leads or campaigns have to this share says nothing new.
_SAID: Final = 0.5


def hidden(pop: Population, s: Score) -> NDArray[np.int64]:
    """Accounts of a group that a lead would name: its members where some stand out, and nobody who says openly whom he belongs to, unless most of them do: an
    institution or several firms with one work can be a sham.
    """
    if s.openly:
        return s.group.who
    who = s.group.who[s.member] if s.member.any() else s.group.who
    out: NDArray[np.int64] = who[~pop.declared[who]]
    return out


def worth_a_look(pop: Population, s: Score) -> bool:
    """Whether a group that cannot pass could be a lead."""
    voices = s.group.who if INSTITUTION in s.group.chosen else np.unique(pop.owner[hidden(pop, s)])
    return _different(s) >= MIN_LEAD_TEXTS and len(voices) >= MIN_OWNERS


def _different(s: Score) -> int:
    """Different texts of a group at most: what is not known may differ."""
    return int((s.group.texts + s.group.calls - s.group.with_text).sum())


def likeliest(scores: Sequence[Score], n: int) -> list[Score]:
    """The ``n`` groups to look at first, by what is known without their texts; a third of them is kept for accounts that only a card or an
    institution ties.
    """
    ranked = sorted(scores, key=lambda s: (-_before(s), s.group.key))
    alone = {"payment", INSTITUTION}
    tied = [s for s in ranked if s.group.chosen & alone][: n // 3]
    rest = [s for s in ranked if not s.group.chosen & alone][: n - len(tied)]
    return sorted(tied + rest, key=lambda s: (-_before(s), s.group.key))


def _before(s: Score) -> float:
    """Bits of one hand, a template in common, and size."""
    size = min(2.0, math.log2(max(1, _different(s)) / MIN_TEXTS))
    return _hand(s) + (4.0 if s.group.family is not None or s.group.chosen else 0.0) + size + s.weight("slices") / 4


def _hand(s: Score) -> float:
    """Bits of one hand; a card that chose the accounts is no evidence, but worth a look."""
    return s.bits + (CARD if "payment" in s.group.chosen else 0.0)


def harvest_bits(h: Harvest) -> float:
    """What speaks for a harvest, as a rank: items dealt from a list, training material, prompts unlike other customers', many of them."""
    deck = 0.0 if h.sigma is None else float(np.clip(4.0 - 2.0 * max(0.0, h.sigma - 1.5), -12.0, 4.0))
    unlike = 2.0 if h.likeness is not None and h.likeness < 0.2 else 0.0
    breadth = float(np.clip(math.log2(h.texts / MIN_TEXTS), -3.0, 2.0)) if h.texts else 0.0  # what the log does not hold speaks for nothing
    return deck + (4.0 if h.training else 0.0) + unlike + breadth


def worth(j: Judged) -> float:
    """How much a lead is worth looking at, in bits that only rank."""
    s = j.score
    tied = 0.0 if s.group.family is not None or s.convicting > 0 or s.group.chosen else -4.0  # one client alone is what strangers share
    return min(HAND_MOST, _hand(s)) + harvest_bits(j.harvest) + max(-10.0, s.weight("slices") / 4) + tied


def of_cards(failed: Sequence[Judged]) -> list[Judged]:
    """Groups that one card each chose, where they look like a harvest: one operator has many cards, so they are looked at together too."""
    return [j for j in failed if "payment" in j.score.group.chosen and harvest_bits(j.harvest) >= 0]


def leads(pop: Population, failed: Sequence[Judged], taken: Collection[int]) -> list[Judged]:
    """In order of worth, each with accounts of its own; ``taken`` are those that campaigns have."""
    said = set(taken)
    out: list[Judged] = []
    for j in sorted(failed, key=lambda j: (-round(worth(j), 6), j.score.group.key)):
        who = set(hidden(pop, j.score).tolist())
        if worth(j) < LEAST_WORTH or len(out) == MOST:
            break
        if len(who) >= MIN_OWNERS and len(who & said) < _SAID * len(who):
            out.append(j)
            said |= who
    return out
