"""What an evidence class is."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Final, Protocol

import numpy as np
from numpy.typing import NDArray

from stillwatch.watch.campaign.population import MISSING, Population

#: No class may weigh more than this: below about 2**-30 no null is known well enough.
CLASS_CAP: Final = 30.0
#: Below this many other accounts whose trait is known, the trait is not assessed.
MIN_OTHERS: Final = 20


@dataclass(frozen=True, slots=True, eq=False)
class Group:
    """Streams to be tested together; arrays run over its accounts (``who`` ascending)."""

    family: int | None  # None: calls tied by their client or their ties alone
    client: int | None
    key: tuple[int, ...]
    who: NDArray[np.int64]
    calls: NDArray[np.int64]
    repeated: NDArray[np.int64]  # calls whose whole text a fair share of the group's owners sent too
    texts: NDArray[np.int64]  # distinct
    with_text: NDArray[np.int64]  # calls whose text is known
    first: NDArray[np.float64]
    last: NDArray[np.float64]
    clients: NDArray[np.int64]  # the client of most of these calls
    pool: int | None = None  # set where shared addresses chose the accounts
    picked: int | None = None  # single calls: those of one exchange of answers, or those that ask for the same training material
    beside: int = 0  # accounts with a card of their own that belong to the group and were counted by a sample
    chosen: frozenset[str] = field(default_factory=frozenset)  # classes whose traits chose the accounts, and are no evidence then


@dataclass(frozen=True, slots=True)
class Finding:
    """Bits and the plain sentence behind them; ``assessed`` False where the log gave nothing to judge by."""

    id: str
    bits: float
    text: str
    assessed: bool = True
    cap: float | None = None
    question: str = "hand"


class EvidenceClass(Protocol):
    """One kind of evidence, examined by ``tests/watch/campaign/test_exam.py`` as its ``convicts`` says.

    A class that ``convicts`` has E[2**bits] <= 1 for groups of unrelated customers also where a common occasion brought these together.  One that does not
    only ranks: an occasion alone can earn its bits, and all such classes together count for ``OCCASION_CAP`` at most.
    """

    @property
    def id(self) -> str:
        """Its name in reasons."""
        ...

    @property
    def convicts(self) -> bool:
        """Whether it may carry a campaign."""
        ...

    @property
    def techniques(self) -> tuple[str, ...]:
        """What it lets one infer where it has at least ``LEG`` bits."""
        ...

    def finding(self, pop: Population, group: Group, reps: NDArray[np.intp]) -> Finding:
        """Its bits for a group; ``reps`` are places in ``group.who``, one account for each owner."""
        ...

    def membership(self, pop: Population, group: Group, reference: NDArray[np.bool_]) -> NDArray[np.float64]:
        """[who] bits for each account belonging to the ``reference`` accounts, leave-one-out, against being a customer like the others."""
        ...

    def shown(self, pop: Population, who: NDArray[np.int64]) -> NDArray[np.bool_]:
        """[who] accounts that show what most of them share, for the calls that illustrate it."""
        ...


def most_common(codes: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Where the most frequent known code stands; everywhere if none is known."""
    known = codes[codes != MISSING]
    if not len(known):
        return np.ones(len(codes), bool)
    hit: NDArray[np.bool_] = codes == np.bincount(known).argmax()
    return hit


def shares(bits: NDArray[np.float64], hit: NDArray[np.bool_], others: NDArray[Any], base: float) -> NDArray[np.float64]:
    """``bits`` with log-odds added of sharing (``hit``) at rate ``others`` among members and ``base`` outside."""
    out: NDArray[np.float64] = bits + np.where(hit, np.log2(others / base), np.log2((1 - others) / (1 - base)))
    return out
