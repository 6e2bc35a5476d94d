"""Mail: one domain that few use, or one pattern of names."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from stillwatch.watch.campaign.classes.base import Finding, Group, most_common
from stillwatch.watch.campaign.classes.traits import assess, averaged, predicted
from stillwatch.watch.campaign.population import Population


@dataclass(frozen=True, slots=True)
class Mail:
    """Mail domains and patterns of mail names.  Ranks only: a school, a firm and a privacy service share one too."""

    id: str = "mail"
    convicts: bool = False
    techniques: tuple[str, ...] = ("D01",)

    def finding(self, pop: Population, group: Group, reps: NDArray[np.intp]) -> Finding:
        """The mean e-value of both views."""
        one = group.who[reps]
        return averaged(
            self.id,
            [
                assess(self.id, "Mail domain", pop.mail_domain, one, group.who),
                assess(self.id, "Pattern of the mail name", pop.mail_shape, one, group.who),
            ],
        )

    def membership(self, pop: Population, group: Group, reference: NDArray[np.bool_]) -> NDArray[np.float64]:
        """By domain and pattern."""
        return sum((predicted(t, t.codes[group.who], reference, -3.0) for t in (pop.mail_domain, pop.mail_shape)), np.zeros(len(group.who)))

    def shown(self, pop: Population, who: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Accounts of the commonest pattern."""
        return most_common(pop.mail_shape.codes[who])
