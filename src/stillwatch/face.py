"""The public face for programs and notebooks: ``import stillwatch as sw; r = sw.detect(logs, accounts=...)``."""

from __future__ import annotations

import dataclasses
import tempfile
import time
from collections.abc import Iterable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from html import escape
from io import StringIO
from os import PathLike, fspath
from pathlib import Path
from typing import Final, TypeAlias

import pyarrow as pa
import pyarrow.parquet as pq
from rich.console import Console, RenderableType

from stillwatch.foreign import shown
from stillwatch.records import Campaign, Case, Lead, Notice, RunRecord
from stillwatch.watch import evidence
from stillwatch.watch.evidence.words import day
from stillwatch.watch.flow import Progress, Settings
from stillwatch.watch.flow import detect as run
from stillwatch.watch.found import pick, read_case

__all__ = ["CAMPAIGNS", "LEADS", "Explanation", "Result", "Settings", "detect", "explain"]

Place: TypeAlias = str | PathLike[str]

_MOMENT: Final = pa.timestamp("us", tz="UTC")
#: One row a campaign.  ``q`` is the share of false ones to expect among campaigns of that kind with at least these ``bits``.
CAMPAIGNS: Final = pa.schema(
    [
        pa.field("campaign", pa.string(), nullable=False),
        pa.field("kind", pa.string(), nullable=False),  # "ring" or "single"
        pa.field("bits", pa.float64(), nullable=False),
        pa.field("threshold_bits", pa.float64()),
        pa.field("p", pa.float64(), nullable=False),
        pa.field("q", pa.float64(), nullable=False),
        pa.field("first", _MOMENT, nullable=False),
        pa.field("last", _MOMENT, nullable=False),
        pa.field("calls", pa.int64(), nullable=False),
        pa.field("accounts", pa.int64(), nullable=False),
        pa.field("techniques", pa.list_(pa.string()), nullable=False),
    ]
)
#: One row a lead: worth a person's look, and no campaign.
LEADS: Final = pa.schema(
    [
        pa.field("lead", pa.string(), nullable=False),
        pa.field("bits", pa.map_(pa.string(), pa.float64()), nullable=False),  # by question
        pa.field("accounts", pa.list_(pa.string()), nullable=False),
        pa.field("calls", pa.int64(), nullable=False),
        pa.field("first", _MOMENT, nullable=False),
        pa.field("last", _MOMENT, nullable=False),
        pa.field("why", pa.string(), nullable=False),
        pa.field("why_not", pa.string(), nullable=False),
        pa.field("settle", pa.string(), nullable=False),
    ]
)


@dataclass(frozen=True, slots=True)
class Explanation:
    """Why something is a campaign: print it, or let a notebook show it."""

    content: RenderableType

    def __rich__(self) -> RenderableType:
        return self.content

    def __str__(self) -> str:
        console = Console(file=StringIO(), width=100, color_system=None, force_terminal=False)
        with console.capture() as seen:
            console.print(self.content)
        return seen.get()

    __repr__ = __str__

    def _repr_html_(self) -> str:
        return f"<pre>{escape(str(self))}</pre>"


@dataclass(frozen=True, slots=True)
class Result:
    """What a run found, as Arrow tables and as records.

    ``case`` holds the records; ``streams`` has a row for each account of a campaign (``records.ACCOUNT_RESULTS``), ``calls`` one for each attributed call
    (``records.ATTRIBUTED``).
    """

    case: Case
    streams: pa.Table
    calls: pa.Table

    @property
    def run(self) -> RunRecord:
        """How the run went: versions, inputs, settings, timings."""
        return self.case.run

    @property
    def notices(self) -> tuple[Notice, ...]:
        """What its reader must know, a run without campaigns included."""
        return self.case.run.notices

    @property
    def campaigns(self) -> pa.Table:
        """A row for each campaign, most bits first (schema ``CAMPAIGNS``)."""
        return pa.Table.from_pylist([_campaign_row(c) for c in self.case.campaigns], schema=CAMPAIGNS)

    @property
    def leads(self) -> pa.Table:
        """A row for each lead, the most worth first (schema ``LEADS``)."""
        return pa.Table.from_pylist([_lead_row(x) for x in self.case.leads], schema=LEADS)

    def explain(self, campaign: str) -> Explanation:
        """Why a campaign was found, by its id or the beginning of it.

        Raises:
            FoundError: there is none, or several.
        """
        return Explanation(evidence.explain(pick(self.case.campaigns, campaign, "this result"), self.run))

    def __repr__(self) -> str:
        found, leads = len(self.case.campaigns), len(self.case.leads)
        some = f"{found} campaign{'s' * (found != 1)}, {leads} lead{'s' * (leads != 1)}"
        return f"<stillwatch.Result: {some}; {self.run.calls:,} calls of {self.run.accounts:,} accounts>"

    def _repr_html_(self) -> str:
        head = ("campaign", "accounts", "calls", "first call", "bits", "techniques")
        rows = [
            (c.id, f"{c.accounts:,}", f"{c.calls:,}", day(c.first), f"{c.bits:.1f}", " ".join(i for i, _ in c.techniques))
            for c in self.case.campaigns
        ]
        table = (
            f"<table><thead>{_row(head, 'th')}</thead><tbody>{''.join(_row(r, 'td') for r in rows)}</tbody></table>"
            if rows
            else "<p>No campaign.</p>"
        )
        notices = "".join(f"<li>{'Not judged: ' if n.unjudged else ''}{_html(str(n))}</li>" for n in self.notices)
        read = f"<p>{self.run.calls:,} calls of {self.run.accounts:,} accounts read; {len(self.case.leads):,} leads.</p>"
        return table + read + (f"<ul>{notices}</ul>" if notices else "")


def detect(
    logs: Place | Iterable[Place],
    *,
    accounts: Place | None = None,
    out: Place | None = None,
    now: float | None = None,
    settings: Settings | None = None,
) -> Result:
    """Find distillation campaigns in API logs.

    Args:
        logs: files, globs or directories; one or several.
        accounts: sign-up records, CSV or Parquet.
        out: directory for the files that ``stillwatch detect --out`` writes.  Without it nothing is left on disk: the run works in a folder of the system's
            temporary directory (mode 0700, prompts in clear while it lasts), and references are made with a key that is thrown away.
        now: epoch seconds to count from; the clock's if not given.
        settings: all else; its ``logs``, ``out`` and ``accounts`` give way to the arguments.

    Raises:
        IntakeError: the input as a whole cannot be used.
        StateError: the state cannot be gone on with.
        BusyError: another run writes to ``out``.
    """
    with ExitStack() as stack:
        folder = Path(out) if out is not None else Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="stillwatch-")))
        given: Sequence[Place] = [logs] if isinstance(logs, str | PathLike) else list(logs)
        asked = dataclasses.replace(settings or Settings(), logs=[fspath(x) for x in given], out=folder)
        if accounts is not None:
            asked = dataclasses.replace(asked, accounts=Path(accounts))
        case = run(asked, Progress(), now=time.time() if now is None else now)
        if out is None and asked.state is None and case.run.custody is not None:  # its case file goes with the folder
            held = dataclasses.replace(case.run.custody, case_file="")
            case = dataclasses.replace(case, run=dataclasses.replace(case.run, custody=held))
        # Read from memory, for the folder may be gone when the tables are used.
        streams, calls = (pq.read_table(folder / name, memory_map=False) for name in ("accounts.parquet", "attributed_calls.parquet"))
    return Result(case, streams, calls)


def explain(found: Result | Place, campaign: str) -> Explanation:
    """Why a campaign was found, by its id or the beginning of it, in a result or in a directory that a run wrote.

    Raises:
        FoundError: the directory cannot be read; there is no such campaign, or several.
    """
    if isinstance(found, Result):
        return found.explain(campaign)
    case = read_case(Path(found))
    return Explanation(evidence.explain(pick(case.campaigns, campaign, fspath(found)), case.run))


def _campaign_row(c: Campaign) -> dict[str, object]:
    return {
        "campaign": c.id,
        "kind": c.kind,
        "bits": c.bits,
        "threshold_bits": c.threshold_bits,
        "p": c.p,
        "q": c.q,
        "first": _micros(c.first),
        "last": _micros(c.last),
        "calls": c.calls,
        "accounts": c.accounts,
        "techniques": [i for i, _ in c.techniques],
    }


def _lead_row(x: Lead) -> dict[str, object]:
    return {
        "lead": x.id,
        "bits": list(x.bits.items()),
        "accounts": list(x.accounts),
        "calls": x.calls,
        "first": _micros(x.first),
        "last": _micros(x.last),
        "why": x.why,
        "why_not": x.why_not,
        "settle": x.settle,
    }


def _micros(at: float) -> int:
    return round(at * 1_000_000)


def _html(text: str) -> str:
    return escape(shown(text))


def _row(cells: Sequence[str], kind: str) -> str:
    return "<tr>" + "".join(f"<{kind}>{_html(c)}</{kind}>" for c in cells) + "</tr>"
