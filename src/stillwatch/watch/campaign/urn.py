"""Bits: how much likelier accounts' traits are if one hand made the accounts than if unrelated customers did.

A trait class (cards, mail domains, addresses, ...) is a sequence of values x_1, x_2, ...  If customers are unrelated, each value is drawn from the
population: P0(x_i) = pi(x_i).  If one operator made the accounts, values come back: Polya's urn with concentration a, P1(x_i | before) =
(a * pi(x_i) + seen_i) / (a + i - 1), where seen_i counts x_i among the values before.  The ratio P1/P0 of the whole sequence, averaged over a fixed
grid of a, is a Bayes factor; its expectation under P0 is at most 1, so it is an e-value (Vovk & Wang, Annals of Statistics 49:1736, 2021) and
2**-bits is a p-value, whatever the group's size and with no table of thresholds.  The order of the values does not matter (the urn is exchangeable).
"""

from __future__ import annotations

import math
from typing import Any, Final

import numba as nb
import numpy as np
from numpy.typing import NDArray
from scipy.special import gammaln

#: Concentrations of the urn, equally likely beforehand: from "nearly always the same value" to "rarely the same value".
CONCENTRATIONS: Final = np.array([1.0, 4.0, 16.0, 64.0, 256.0, 1024.0, 4096.0])


def _log_ratios(counts: NDArray[np.int64], rates: NDArray[np.float64]) -> NDArray[np.float64]:
    """[concentrations] natural log of the urn's likelihood over that of independent draws."""
    base = CONCENTRATIONS[:, None] * rates[None, :]
    # The product over draws of (a * pi + seen) / pi is Gamma(a * pi + c) / Gamma(a * pi) / pi**c for each value.
    gain = (gammaln(base + counts) - gammaln(base) - counts * np.log(rates)).sum(axis=1)
    norm = gammaln(CONCENTRATIONS + counts.sum()) - gammaln(CONCENTRATIONS)
    logs: NDArray[np.float64] = gain - norm
    return logs


def urn_bits(counts: NDArray[np.int64], rates: NDArray[np.float64]) -> float:
    """log2 Bayes factor of the urn against independent draws.

    Args:
        counts: [values] how often each distinct value occurs in the group, all >= 1.
        rates: [values] pi, the chance of that value for one unrelated draw, in (0, 1].

    Returns:
        bits; 0 for fewer than two draws.
    """
    if int(counts.sum()) < 2:
        return 0.0
    logs = _log_ratios(counts, rates)
    top = logs.max()
    return float((top + np.log(np.exp(logs - top).mean())) / np.log(2.0))


@nb.njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def urn_of_codes(speaking: Any, everybody: Any, counts: Any, known: Any) -> Any:  # pragma: no cover - compiled, held to its twin
    """``urn_bits`` straight from codes, for there are many groups and most are small.

    Args:
        speaking: int64 codes of one account per owner.
        everybody: int64 codes of all accounts of the group, those of ``speaking`` among them.
        counts: int64 [codes] accounts of the lab that show each value; ``known`` is their sum.

    Returns:
        (bits, distinct values among ``speaking``, those of them that occur more than once).
    """
    n = len(speaking)
    if n < 2:
        return 0.0, n, 0
    ordered, whole = np.sort(speaking), np.sort(everybody)
    total = max(known - len(everybody), 1)
    logs = np.zeros(len(CONCENTRATIONS))
    distinct = shared = 0
    start = at = 0
    while start < n:
        end = start
        while end < n and ordered[end] == ordered[start]:
            end += 1
        value, often = ordered[start], end - start
        while at < len(whole) and whole[at] < value:
            at += 1
        inside = 0
        while at < len(whole) and whole[at] == value:
            inside += 1
            at += 1
        rate = min(1.0, max(1e-12, max(counts[value] - inside, 1) / total))
        for k in range(len(CONCENTRATIONS)):
            base = CONCENTRATIONS[k] * rate
            if often == 1:
                logs[k] += math.log(CONCENTRATIONS[k])
            else:
                logs[k] += math.lgamma(base + often) - math.lgamma(base) - often * math.log(rate)
        distinct += 1
        shared += often > 1
        start = end
    for k in range(len(CONCENTRATIONS)):
        logs[k] -= math.lgamma(CONCENTRATIONS[k] + n) - math.lgamma(CONCENTRATIONS[k])
    top = logs.max()
    return (top + math.log(np.exp(logs - top).mean())) / math.log(2.0), distinct, shared


@nb.njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def predicted_bits(codes: Any, reference: Any, counts: Any, known: Any, least: Any, others: Any) -> Any:  # pragma: no cover - as above
    """Bits of each account's value as the urn of the other reference accounts predicts it, against the population.

    The urn's concentration is the one of the grid under which the reference accounts are likeliest.

    Args:
        codes: int64 [accounts] values, below 0 where unknown.
        reference: bool [accounts] whose values the urn has seen.
        counts: int64 [codes] accounts of the lab that show each value; ``known`` is their sum.
        least: bits that one value takes away at most; it adds 6 at most.
        others: accounts outside the reference that must be known, or nothing is said.

    Returns:
        float64 [accounts] bits, 0 where the value is unknown.
    """
    n = len(codes)
    bits = np.zeros(n)
    order = np.argsort(codes, kind="mergesort")
    inside, rates = np.zeros(n), np.zeros(n)  # of each value that the group shows
    value = np.full(n, -1)  # place in them of each account's
    shown = seen = 0
    start = 0
    while start < n and codes[order[start]] < 0:
        start += 1
    while start < n:
        end = start
        while end < n and codes[order[end]] == codes[order[start]]:
            value[order[end]] = shown
            inside[shown] += reference[order[end]]
            end += 1
        rates[shown] = counts[codes[order[start]]]
        seen += inside[shown]
        shown += 1
        start = end
    total = known
    for v in range(shown):
        total += max(rates[v] - inside[v], 0) - rates[v]
    if total < others or seen < 2:
        return bits
    for v in range(shown):
        rates[v] = max(rates[v] - inside[v], 1) / total
    best, a = -np.inf, 1.0
    for k in range(len(CONCENTRATIONS)):
        c = CONCENTRATIONS[k]
        log = math.lgamma(c) - math.lgamma(c + seen)
        for v in range(shown):
            if inside[v] == 1:
                log += math.log(c)
            elif inside[v]:
                log += math.lgamma(c * rates[v] + inside[v]) - math.lgamma(c * rates[v]) - inside[v] * math.log(rates[v])
        if log > best:
            best, a = log, c
    for i in range(n):
        if value[i] >= 0:
            v, own = value[i], 1 if reference[i] else 0
            expected = (inside[v] - own + a * rates[v]) / (seen - own + a)
            bits[i] = min(6.0, max(least, math.log2(expected / rates[v])))
    return bits


def even_bits(calls: NDArray[np.int64]) -> float:
    """Bits for work dealt out evenly (Poisson) against the heavy-tailed use of people (geometric), both at the group's own mean, one call given.

    The mean is fitted for both; half of log2(n) is taken off, as in BIC, because only the Poisson gains by the fit.

    Args:
        calls: [accounts] calls of each, all >= 1.
    """
    extra = calls - 1.0
    mean = float(extra.mean())
    if mean <= 0 or len(calls) < 2:
        return 0.0
    poisson = extra * np.log(mean) - mean - gammaln(extra + 1)
    geometric = extra * np.log(mean / (1 + mean)) - np.log1p(mean)
    return float((poisson - geometric).sum() / np.log(2.0) - 0.5 * np.log2(len(calls)) - 1.0)
