"""Registration: made on one day, or just before use."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from stillwatch.watch.campaign.classes.base import Finding, Group, most_common
from stillwatch.watch.campaign.classes.traits import assess, averaged, predicted
from stillwatch.watch.campaign.population import Population


@dataclass(frozen=True, slots=True)
class Registration:
    """Sign-up days and ages at the first call.  Ranks only: a launch, a class and a tutorial bring people in together."""

    id: str = "registration"
    convicts: bool = False
    techniques: tuple[str, ...] = ("D01",)

    def finding(self, pop: Population, group: Group, reps: NDArray[np.intp]) -> Finding:
        """The mean e-value of both views."""
        one = group.who[reps]
        return averaged(
            self.id,
            [
                assess(self.id, "Day of registration", pop.signup_day, one, group.who),
                assess(self.id, "Age of the account at its first call", pop.age, one, group.who),
            ],
        )

    def membership(self, pop: Population, group: Group, reference: NDArray[np.bool_]) -> NDArray[np.float64]:
        """By day and age."""
        return sum((predicted(t, t.codes[group.who], reference, -3.0) for t in (pop.signup_day, pop.age)), np.zeros(len(group.who)))

    def shown(self, pop: Population, who: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Accounts of the commonest day."""
        return most_common(pop.signup_day.codes[who])
