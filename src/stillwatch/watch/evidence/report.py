"""The report: one HTML file that stands alone, and CSV files beside it for lists that are too long to read on a page."""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import sha256
from typing import Final

from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape

from stillwatch.foreign import shown
from stillwatch.records import TECHNIQUES, Case
from stillwatch.watch.evidence.explain import by_question
from stillwatch.watch.evidence.pictures import COLOURS, ROWS, letter_on, reasons_chart, skeleton_strip, timeline, traits_matrix
from stillwatch.watch.evidence.tables import LONGEST, accounts_csv, inputs_csv
from stillwatch.watch.evidence.unjudged import unjudged
from stillwatch.watch.evidence.words import chance, count, day, needed, odds, standing, weight

#: Campaigns with a section of their own, rows of matrices over the whole report, leads that are printed: beyond that a page is not read.
SECTIONS: Final = 100
_ALL_ROWS: Final = 1500
_LEADS: Final = 20
ACCOUNTS: Final = "report-accounts.csv"
INPUTS: Final = "report-inputs.csv"
#: Every file that may stand beside a report; one that a run does not make is an earlier run's.
SIDE_FILES: Final = (ACCOUNTS, INPUTS)


@dataclass(frozen=True, slots=True)
class Report:
    """A page and the files beside it by name."""

    html: str
    files: dict[str, bytes]


def _finalize(value: object) -> object:
    """Foreign text cannot turn the reading direction or hide; markup is made here alone."""
    return shown(value) if isinstance(value, str) and not hasattr(value, "__html__") else value


_PAGES: Final = Environment(
    loader=PackageLoader("stillwatch.watch.evidence"),
    autoescape=select_autoescape(default=True),
    undefined=StrictUndefined,
    finalize=_finalize,
    trim_blocks=True,
    lstrip_blocks=True,
)
_PAGES.filters.update(chance=chance, counted=count, day=day, odds=odds)
_PAGES.globals.update(
    by_question=by_question,
    colours=[(c, letter_on(c)) for c in COLOURS],
    leads_shown=_LEADS,
    longest=LONGEST,
    needed=needed,
    reasons_chart=reasons_chart,
    sections=SECTIONS,
    skeleton_strip=skeleton_strip,
    standing=standing,
    timeline=timeline,
    traits_matrix=traits_matrix,
    techniques=TECHNIQUES,
    weight=weight,
)


def render_report(case: Case, *, generated_at: float) -> Report:
    """The report of a run; the same case gives the same bytes.

    Args:
        case: what the run found.
        generated_at: epoch seconds, printed in UTC.
    """
    files = {}
    if any(len(c.streams) > LONGEST for c in case.campaigns):
        files[ACCOUNTS] = accounts_csv(case)
    if len(case.run.inputs) > LONGEST:
        files[INPUTS] = inputs_csv(case.run)
    html = _PAGES.get_template("report.html").render(
        case=case,
        run=case.run,
        unjudged=unjudged(case),
        matrix_rows=min(ROWS, max(10, _ALL_ROWS // max(1, len(case.campaigns)))),
        accounts=len({s.account for c in case.campaigns for s in c.streams}),
        calls=sum(c.calls for c in case.campaigns),
        beside={name: sha256(body).hexdigest() for name, body in files.items()},
        accounts_file=ACCOUNTS,
        inputs_file=INPUTS,
        generated_at=generated_at,
    )
    return Report(html, files)
