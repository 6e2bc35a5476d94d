"""What a run found, as frozen records: the case that ``evidence`` renders and ``app`` writes."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Reason:
    """One piece of evidence.

    ``bits`` is log2 of a likelihood ratio (an e-value) of *one hidden operator* against *unrelated customers of this lab*; negative bits speak
    against.  ``assessed`` is False where the log held nothing to judge by, and ``text`` then says what was missing.
    """

    id: str  # e.g. "payment", "network", "slices"
    bits: float
    text: str  # one sentence in plain language, with the counts it rests on
    calls: tuple[str, ...] = ()  # up to 10 call ids that show it
    assessed: bool = True


@dataclass(frozen=True, slots=True)
class StreamRow:
    """One account's part in a campaign.  Times are epoch seconds UTC; ``traits`` maps a trait kind to a short label shared with other rows."""

    account: str
    calls: int  # all calls of the account in the log
    attributed_calls: int
    first: float
    last: float
    bits: float
    traits: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Segment:
    """A piece of a family's skeleton: a fixed run (``slot`` False) or a slot.

    ``words`` is (least, median, most).  ``distinct`` is the share of different fillings among the sampled calls.  ``text`` is None unless the user
    asked for clear text.
    """

    slot: bool
    words: tuple[int, int, int]
    distinct: float
    text: str | None = None


@dataclass(frozen=True, slots=True)
class Campaign:
    """Streams that evidence says one operator runs.  Never an attribution to a named organisation."""

    id: str
    kind: str  # "ring" (several accounts) or "single" (one account alone)
    bits: float
    p: float
    q: float
    first: float
    last: float
    calls: int
    accounts: int
    techniques: tuple[tuple[str, str], ...]  # (technique id, "observed" | "inferred")
    reasons: tuple[Reason, ...]
    against: tuple[str, ...]  # what speaks against it and what was not assessed, one plain sentence each
    streams: tuple[StreamRow, ...]
    timeline: tuple[tuple[float, int], ...]  # (start of bin, calls in it), equal bins
    bin_seconds: float
    skeletons: tuple[tuple[Segment, ...], ...]  # one per family, most calls first
    families: tuple[str, ...]  # family ids (recipe-versioned digests), same order as skeletons
    calls_until_found: int | None = None  # calls of it in the log when its evidence first crossed the threshold; None = not computed


@dataclass(frozen=True, slots=True)
class RunRecord:
    """``run.json``: enough to rebuild the run."""

    version: str
    recipes: dict[str, str]
    command: str
    settings: dict[str, object]
    inputs: tuple[dict[str, object], ...]  # {"file", "bytes", "sha256", "calls", "rejected"}
    calls: int
    accounts: int
    rejected: int
    units_tested: int
    threshold_bits: float
    timings: dict[str, float]  # seconds by step
    started: str
    notices: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Case:
    """All that a run found."""

    run: RunRecord
    campaigns: tuple[Campaign, ...]
