"""Partners: what suspicions at other labs share."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from stillwatch.watch.campaign.classes.base import Finding, Group
from stillwatch.watch.campaign.population import Population

#: The most that partners' word may weigh, whoever lies.
PARTNERS_CAP: Final = 12.0
#: Of honest suspects, one in ten at least is taken to be a customer of several labs who is suspected there too: an assumption, raised by what is seen.
RAREST: Final = 0.1
_SHARES: Final = np.array([0.3, 0.6, 0.9])


@dataclass(frozen=True, slots=True)
class Partners:
    """Overlap with partners' suspicions.  Counts only beside local evidence (rule R02)."""

    id: str = "partners"
    convicts: bool = True
    techniques: tuple[str, ...] = ()

    def finding(self, pop: Population, group: Group, reps: NDArray[np.intp]) -> Finding:
        """Against how usual overlap is for this lab's suspicions: honest customers of several labs overlap too.

        A likelihood ratio of a share of 30, 60 or 90 % (equally likely) against that rate; the strongest kind of trait counts, none twice.
        """
        who = group.who[reps]
        best = Finding(self.id, 0.0, "Partners: none of these accounts' traits was sent for matching.", assessed=False, cap=PARTNERS_CAP)
        for kind, flags in pop.partners.items():
            n, k = int((flags[who] >= 0).sum()), int((flags[who] == 1).sum())
            if n < 2:
                continue
            rate = min(0.5, max(RAREST, pop.partner_rates.get(kind, 0.0)))
            logs = k * np.log2(_SHARES / rate) + (n - k) * np.log2((1 - _SHARES) / (1 - rate))
            bits = float(min(PARTNERS_CAP, np.log2(np.exp2(logs - logs.max()).mean()) + logs.max() - np.log2(max(1, len(pop.partners)))))
            if not best.assessed or bits > best.bits:
                text = f"Partners: {k} of {n} accounts have a {kind} trait that suspicions at other labs show too; {rate:.0%} is taken to be usual."
                best = Finding(self.id, max(-PARTNERS_CAP, bits), text, cap=PARTNERS_CAP)
        return best

    def membership(self, pop: Population, group: Group, reference: NDArray[np.bool_]) -> NDArray[np.float64]:
        """By whether partners share a trait of the account, as the other reference accounts predict it; the strongest kind counts."""
        best = np.zeros(len(group.who))
        for kind, flags in pop.partners.items():
            mine = flags[group.who]
            rate = min(0.5, max(RAREST, pop.partner_rates.get(kind, 0.0)))
            one, asked = (mine == 1) & reference, (mine >= 0) & reference
            inside = (one.sum() - one + 0.5) / (asked.sum() - asked + 1.0)
            bits = np.where(mine == 1, np.log2(inside / rate), np.where(mine == 0, np.log2((1 - inside) / (1 - rate)), 0.0))
            best = np.where(np.abs(bits) > np.abs(best), bits, best)
        return np.clip(best, -6.0, 6.0)

    def shown(self, pop: Population, who: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Everybody."""
        return np.ones(len(who), bool)
