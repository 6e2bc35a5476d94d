"""Quota: equal work, as a load balancer deals it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from stillwatch.watch.campaign.classes.base import CLASS_CAP, Finding, Group
from stillwatch.watch.campaign.population import Population
from stillwatch.watch.campaign.urn import even_bits

#: Uneven work costs an operator nothing to arrange, so it cannot acquit.
UNEVEN_FLOOR: Final = -5.0


@dataclass(frozen=True, slots=True)
class Quota:
    """Equal numbers of calls.  Ranks only: an exercise of fixed size gives them too."""

    id: str = "quota"
    convicts: bool = False
    techniques: tuple[str, ...] = ()

    def finding(self, pop: Population, group: Group, reps: NDArray[np.intp]) -> Finding:
        """Evenness of the calls of one account for each owner."""
        what = "Equal work per account"
        if group.family is None and group.pool is None:
            return Finding(self.id, 0.0, f"{what}: not assessed for calls that only their client ties together.", assessed=False)
        calls = group.calls[reps]
        ordered = np.sort(calls)
        low, middle, high = (int(ordered[int(share * (len(ordered) - 1))]) for share in (0.1, 0.5, 0.9))
        text = f"{what}: four in five accounts sent {low} to {high} of these calls (median {middle})."
        return Finding(self.id, min(CLASS_CAP, max(UNEVEN_FLOOR, even_bits(calls))), text, cap=CLASS_CAP)

    def membership(self, pop: Population, group: Group, reference: NDArray[np.bool_]) -> NDArray[np.float64]:
        """Against an account that does many times the others' work, which a load balancer would not give it."""
        typical, most = np.quantile(group.calls[reference], [0.5, 0.9])
        spread = max(1.0, float(most / typical))
        bits: NDArray[np.float64] = -np.clip(2.0 * np.log2(group.calls / (typical * spread)) - 2.0, 0.0, 8.0)
        return bits

    def shown(self, pop: Population, who: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Everybody."""
        return np.ones(len(who), bool)
