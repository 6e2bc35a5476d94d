"""The report: one HTML file that stands alone."""

from __future__ import annotations

from typing import Final

from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape

from stillwatch.records import TECHNIQUES, Case
from stillwatch.watch.evidence.explain import day, odds
from stillwatch.watch.evidence.pictures import ROWS, reasons_chart, skeleton_strip, timeline, traits_matrix

_PAGES: Final = Environment(
    loader=PackageLoader("stillwatch.watch.evidence"),
    autoescape=select_autoescape(default=True),
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)
_PAGES.filters.update(day=day, odds=odds)
_PAGES.globals.update(
    reasons_chart=reasons_chart,
    skeleton_strip=skeleton_strip,
    timeline=timeline,
    traits_matrix=traits_matrix,
    techniques=TECHNIQUES,
    matrix_rows=ROWS,
)


def render_report(case: Case, *, generated_at: float) -> str:
    """The report of a run as HTML; the same case gives the same bytes.

    Args:
        case: what the run found.
        generated_at: epoch seconds, printed in UTC.
    """
    return _PAGES.get_template("report.html").render(case=case, run=case.run, generated_at=generated_at)
