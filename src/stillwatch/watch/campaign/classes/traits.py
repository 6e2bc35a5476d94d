"""Bits of one trait, and an account's as the other members' values predict it."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from stillwatch.watch.campaign.classes.base import CLASS_CAP, MIN_OTHERS, Finding
from stillwatch.watch.campaign.population import Trait
from stillwatch.watch.campaign.urn import predicted_bits, urn_of_codes


def assess(name: str, what: str, t: Trait, reps: NDArray[np.int64], who: NDArray[np.int64]) -> Finding:
    """The urn's bits of a trait; one account per owner (``reps``) speaks, all (``who``) are left out of the null."""
    speaking, everybody = t.codes[reps], t.codes[who]
    speaking, everybody = speaking[speaking >= 0], everybody[everybody >= 0]
    known, outside = len(speaking), t.known - len(everybody)
    if known < 2 or outside < MIN_OTHERS:
        why = "the log and the accounts file do not say" if known < 2 else f"only {outside} other accounts to compare with"
        return Finding(name, 0.0, f"{what}: not assessed, {why}.", assessed=False)
    bits, distinct, _ = urn_of_codes(speaking, everybody, t.counts, t.known)
    text = f"{what}: {known} accounts show {distinct} different values, judged against {outside} other accounts."
    return Finding(name, min(CLASS_CAP, float(bits)), text, cap=CLASS_CAP)


def averaged(name: str, findings: list[Finding]) -> Finding:
    """One finding of several views of one thing: the mean of their e-values is one too (a maximum is none); the strongest view gives the sentence."""
    known = [f for f in findings if f.assessed]
    if not known:
        return Finding(name, 0.0, findings[0].text, assessed=False)
    best = max(known, key=lambda f: f.bits)
    bits = best.bits + math.log2(sum(2.0 ** (f.bits - best.bits) for f in known) / len(known))
    return Finding(name, bits, best.text, cap=CLASS_CAP)


def predicted(t: Trait, codes: NDArray[np.int64], reference: NDArray[np.bool_], least: float) -> NDArray[np.float64]:
    """Bits of each account's value as the urn of the other reference accounts predicts it, against the population.

    The urn's concentration is the likeliest for this group: where its members differ among themselves, one more that differs is no stranger.
    """
    bits: NDArray[np.float64] = predicted_bits(codes, reference, t.counts, t.known, least, MIN_OTHERS)
    return bits
