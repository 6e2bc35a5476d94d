"""What a run found, as frozen records: the case that ``evidence`` renders and ``app`` writes."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

#: What may be decided about a campaign.
ACTIONS: Final = ("watch", "prioritise", "limit", "block", "none")
#: What evidence is asked, by its short name.
QUESTIONS: Final = {"hand": "Is it one hand?", "hidden": "Is the hand hidden?", "harvest": "Is it a harvest?"}


@dataclass(frozen=True, slots=True)
class Reason:
    """One piece of evidence.

    ``bits`` is log2 of a likelihood ratio (an e-value) of *one hidden operator* against *unrelated customers of this lab*; negative bits speak
    against.  ``assessed`` is False where the log held nothing to judge by: ``bits`` are then 0 and ``text`` says what was missing, so that unknown neither
    speaks for nor against.  ``cap`` is the most bits that evidence of this kind may add, None where it has no such bound; a reason that reaches it weighs
    *at least* that much.  ``question`` is what it answers, see ``QUESTIONS``; empty in results of older versions.
    """

    id: str  # e.g. "payment", "network", "slices"
    bits: float
    text: str  # one sentence in plain language, with the counts it rests on
    calls: tuple[str, ...] = ()  # up to 10 call ids that show it
    assessed: bool = True
    cap: float | None = None
    question: str = ""

    @property
    def capped(self) -> bool:
        """Whether it reaches its cap.  Bits are rounded to hundredths, so a hundredth below is the cap too."""
        return self.assessed and self.cap is not None and self.bits >= self.cap - 0.01


@dataclass(frozen=True, slots=True)
class Notice:
    """Something about a run that its reader must know, a run without campaigns included.

    ``share`` is the part of ``of`` ("calls", "accounts" or "rows") that was not judged, 0 to 1, and ``hides`` a sentence on what could go unseen because of it;
    None and empty for a notice about anything else.
    """

    code: str  # stable, for programs; e.g. "no-text", "clock"
    text: str
    share: float | None = None
    of: str = ""
    hides: str = ""

    @property
    def unjudged(self) -> bool:
        """Whether it says that something was not assessed."""
        return self.share is not None or bool(self.hides)

    def __str__(self) -> str:
        return f"{self.text} {self.hides}".rstrip()


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
    against: tuple[str, ...]  # what speaks against it, one plain sentence each
    streams: tuple[StreamRow, ...]
    timeline: tuple[tuple[float, int], ...]  # (start of bin, calls in it), equal bins
    bin_seconds: float
    skeletons: tuple[tuple[Segment, ...], ...]  # one per family, most calls first
    families: tuple[str, ...]  # family ids (recipe-versioned digests), same order as skeletons
    calls_until_found: int | None = None  # calls of it in the log when its evidence first crossed the threshold; None = not computed
    threshold_bits: float | None = None  # that its own kind of test had to reach; None in results of version 1
    tested: int | None = None  # tests of its own kind in this run
    lineage: tuple[str, ...] = ()  # earlier campaigns that it came out of or took in, by id


@dataclass(frozen=True, slots=True)
class Lead:
    """A group that is worth a person's look and is no campaign."""

    id: str
    bits: dict[str, float]  # by question, see ``QUESTIONS``
    accounts: tuple[str, ...]
    calls: int
    families: tuple[str, ...]
    first: float
    last: float
    why: str  # a sentence: what draws the eye
    why_not: str  # a sentence: what keeps it from being a campaign
    settle: str  # a sentence: what would settle it


@dataclass(frozen=True, slots=True)
class Custody:
    """Who had the evidence in hand and with what: for the lab's own file, never for a release."""

    by: str  # as named with --by, else the name the system knows the user by
    ended: str  # when the results were written
    versions: dict[str, str]  # of Python and of the packages that the answer rests on
    case_file: str = ""  # where the campaigns' names are kept; empty where no file was to be left


@dataclass(frozen=True, slots=True)
class RunRecord:
    """``run.json``: enough to rebuild the run."""

    version: str
    recipes: dict[str, str]
    command: str
    settings: dict[str, object]
    inputs: tuple[
        dict[str, object], ...
    ]  # {"file", "bytes", "sha256"}; logs "calls", "rejected" too, others "kind" ("accounts", which has "rejected" too, "settings", "partners")
    calls: int
    accounts: int
    rejected: int  # all rows that were left out, as many as stand in quarantine.jsonl
    units_tested: int
    threshold_bits: float  # of a group of accounts; a campaign has that of its own kind of test
    timings: dict[str, float]  # seconds by step
    started: str
    notices: tuple[Notice, ...] = ()
    custody: Custody | None = None  # None in results of older versions
    copies: int = 0  # of the rejected, rows that repeat a call; older versions did not count them apart


@dataclass(frozen=True, slots=True)
class Case:
    """All that a run found."""

    run: RunRecord
    campaigns: tuple[Campaign, ...]
    leads: tuple[Lead, ...] = ()  # in order of worth, the most worth first
