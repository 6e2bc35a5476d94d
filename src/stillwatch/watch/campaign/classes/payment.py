"""Cards: do these accounts share payment fingerprints more than households and small firms do?"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from stillwatch.watch.campaign.classes.base import CLASS_CAP, MIN_OTHERS, Finding, Group, most_common, shares
from stillwatch.watch.campaign.population import MISSING, Population, Trait

#: Honest cards of which several accounts are in a group together; one in fifty at least is assumed, whatever the log shows.
LEAST_RATE: Final = 0.02
#: A ring's share of cards with several accounts, equally likely beforehand.
_RATES: Final = np.array([0.1, 0.3, 0.6, 0.9, 0.99])
#: A household or small firm has at most so many accounts with chance 1/size (the tail that is assumed); a ring's cards serve up to ``_MOST`` alike.
_MOST: Final = 64


def card_bits(sizes: NDArray[np.int64], rate: float) -> float:
    """Bits for cards that serve several accounts each.

    Accounts of one honest card come into a group together (a family uses one app), so not accounts but cards are counted: of honest cards a share ``rate``
    serves several accounts.  The likelihood ratio for how many of the group's cards do, averaged over a ring's possible shares, is an e-value for any true
    rate up to ``rate``.  The sizes count as a second one, averaged with 1 so that many small cards cost nothing.

    Args:
        sizes: [cards] accounts of the group on each card, all >= 1.
        rate: honest cards with several accounts, in (0, 1).
    """
    several = sizes[sizes > 1]
    k, rest = len(several), len(sizes) - len(several)
    assumed = np.maximum(_RATES, rate)  # a ring's rate below the honest one would make more of nothing the more honest the log is
    logs = k * np.log2(assumed / rate) + rest * np.log2((1 - assumed) / (1 - rate))
    top = float(logs.max())
    bits = top + math.log2(float(np.exp2(logs - top).mean()))
    honest = 1.0 / (several - 1.0) - 1.0 / several  # P(size = s | s >= 2), tail 1 / (s - 1)
    ratio = float(np.log2(1.0 / (_MOST - 1) / honest[several <= _MOST]).sum()) if k else 0.0
    return bits + (max(0.0, ratio) + math.log2(1 + 2.0 ** -abs(ratio)) - 1.0 if k else 0.0)


def multiple(t: Trait, without: NDArray[np.int64]) -> tuple[int, int]:
    """(cards with several accounts, cards) of the accounts outside ``without`` (card codes of those left out)."""
    shown, inside = np.unique(without[without >= 0], return_counts=True)
    before = t.counts[shown]
    left = before - inside
    several = np.count_nonzero(t.counts > 1) - np.count_nonzero(before > 1) + np.count_nonzero(left > 1)
    return int(several), int(np.count_nonzero(t.counts) - np.count_nonzero(left == 0))


@dataclass(frozen=True, slots=True)
class Payment:
    """Payment fingerprints."""

    id: str = "payment"
    convicts: bool = True
    techniques: tuple[str, ...] = ("D01",)

    def finding(self, pop: Population, group: Group, reps: NDArray[np.intp]) -> Finding:
        """Bits of the group's cards; accounts of one owner count once."""
        if "payment" in group.chosen:
            cards = len(np.unique(pop.payment.codes[group.who]))
            text = f"Payment fingerprint: {len(group.who)} accounts pay with {cards} card{'s' if cards > 1 else ''}; that chose them, so it is not counted as evidence again."
            return Finding(self.id, 0.0, text, assessed=False)
        t, everybody = pop.payment, pop.payment.codes[group.who]
        codes = everybody[reps]
        codes = codes[codes != MISSING]
        outside = t.known - int((everybody >= 0).sum())
        if len(codes) < 2 or outside < MIN_OTHERS:
            why = "the log and the accounts file do not say" if len(codes) < 2 else f"only {outside} other accounts to compare with"
            return Finding(self.id, 0.0, f"Payment fingerprint: not assessed, {why}.", assessed=False)
        sizes = np.r_[np.unique(codes, return_counts=True)[1], np.ones(group.beside, np.int64)]
        several, cards = multiple(t, everybody)
        cards = max(several, cards - group.beside)
        rate = max(LEAST_RATE, (several + 1) / (cards + 2))
        text = (
            f"Payment fingerprint: {len(codes) + group.beside} accounts pay with {len(sizes)} cards, {int((sizes > 1).sum())} of which serve several of them; "
            f"elsewhere {several} of {cards} cards do, and {rate:.0%} is taken to be usual."
        )
        if group.beside:
            text += f"  {group.beside} of the accounts have a card of their own and ask for the same; they were counted by a sample."
        return Finding(self.id, min(CLASS_CAP, card_bits(sizes, rate)), text, cap=CLASS_CAP)

    def membership(self, pop: Population, group: Group, reference: NDArray[np.bool_]) -> NDArray[np.float64]:
        """By whether an account shares a card with another of the reference."""
        t, codes = pop.payment, pop.payment.codes[group.who]
        known = codes != MISSING
        shown, c = np.unique(codes[known], return_inverse=True)
        inside = np.bincount(c[reference[known]], minlength=len(shown))
        hit = np.zeros(len(codes), bool)
        hit[known] = inside[c] - reference[known] > 0
        outside = t.known - int(inside.sum())
        if outside < MIN_OTHERS:
            return np.zeros(len(codes))
        base = float(((t.counts[shown] - inside)[inside > 0].sum() + 0.5) / (outside + 1.0))
        others = (hit[reference].sum() - (hit & reference) + 0.5) / (int(reference.sum()) - reference + 1.0)
        return shares(np.zeros(len(codes)), hit, others, base)

    def shown(self, pop: Population, who: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Accounts on the commonest card."""
        return most_common(pop.payment.codes[who])
