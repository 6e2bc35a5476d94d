"""The game's pictures: one self-contained page."""

from __future__ import annotations

from html import escape
from typing import Final

from stillwatch.range.play import Outcome

_WIDTH, _HEIGHT, _LEFT, _BOTTOM = 640, 240, 70, 30
_COLOURS: Final = ("#0072b2", "#d55e00", "#009e73")
_DASHES: Final = ("", "6 3", "2 3")


def _chart(title: str, unit: str, series: dict[str, list[float]]) -> str:
    """Lines over days; each has a colour and a dash of its own, so that colour is never the only sign."""
    top = max((max(v, default=0.0) for v in series.values()), default=0.0) or 1.0
    days = max(len(v) for v in series.values())
    step = (_WIDTH - _LEFT - 10) / max(1, days - 1)
    body = "".join(
        f'<line x1="{_LEFT}" x2="{_WIDTH - 10}" y1="{_y(top * k / 4, top):.1f}" y2="{_y(top * k / 4, top):.1f}" class="grid"/>'
        f'<text x="{_LEFT - 6}" y="{_y(top * k / 4, top) + 4:.1f}" text-anchor="end">{top * k / 4:,.4g}</text>'
        for k in range(5)
    )
    body += "".join(
        f'<text x="{_LEFT + step * d:.1f}" y="{_HEIGHT - 8}" text-anchor="middle">{d + 1}</text>'
        for d in range(0, days, max(1, days // 10))
    )
    legend = ""
    for (name, values), colour, dash in zip(series.items(), _COLOURS, _DASHES, strict=False):
        points = " ".join(f"{_LEFT + step * d:.1f},{_y(v, top):.1f}" for d, v in enumerate(values))
        body += f'<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="2" stroke-dasharray="{dash}"/>'
        line = f'<svg width="34" height="10"><line x1="0" x2="34" y1="5" y2="5" stroke="{colour}" stroke-width="2" stroke-dasharray="{dash}"/></svg>'
        legend += f"<span>{line} {escape(name)}</span> "
    size = f'viewBox="0 0 {_WIDTH} {_HEIGHT}" width="{_WIDTH}" height="{_HEIGHT}"'
    return f'<h2>{escape(title)}</h2><p class="legend">{legend}({escape(unit)} by day)</p><svg role="img" {size}><title>{escape(title)}</title>{body}</svg>'


def _y(value: float, top: float) -> float:
    return _HEIGHT - _BOTTOM - (value / top) * (_HEIGHT - _BOTTOM - 10)


def page(free: Outcome, watched: Outcome) -> str:
    """The page of a game: ``free`` without a defence, ``watched`` with one."""
    charts = [
        _chart("Exchanges harvested", "exchanges", {"without a defence": [float(d.harvested) for d in free.days], "with Stillwatch": [float(d.harvested) for d in watched.days]}),
        _chart("Money spent", "dollars", {"without a defence": [d.spent for d in free.days], "with Stillwatch": [d.spent for d in watched.days]}),
        _chart("Accounts", "accounts", {"working": [float(d.active) for d in watched.days], "banned": [float(d.banned) for d in watched.days],
                                        "honest, touched": [float(d.honest_touched) for d in watched.days]}),
    ]  # fmt: skip
    rows = "".join(
        f"<tr><td>{s.step}</td><td>{s.day + 1}</td><td>{s.harvested:,}</td><td>{'never' if s.until_found is None else f'{s.until_found:,}'}</td>"
        f"<td>{'' if s.found_day is None else s.found_day}</td></tr>"
        for s in watched.stages
    )
    return (
        '<!doctype html><html lang="en"><meta charset="utf-8"><meta http-equiv="Content-Security-Policy" content="default-src \'none\'; style-src \'unsafe-inline\'">'
        f"<title>{escape(watched.name)}: the game</title><style>body{{font:15px/1.5 system-ui,sans-serif;max-width:44rem;margin:2rem auto;padding:0 1rem;color:#1a1a1a}}"
        "svg text{font-size:11px;fill:#444}.grid{stroke:#ddd}table{border-collapse:collapse}td,th{padding:.2rem .8rem;text-align:right;border-bottom:1px solid #ccc}"
        f".legend span{{margin-right:1rem}}</style><h1>{escape(watched.name)}: an adversary who adapts</h1>"
        f"<p>Seed {watched.seed}. For each 1,000 dollars the adversary got <b>{free.per_1000_dollars:,.0f}</b> exchanges without a defence and "
        f"<b>{watched.per_1000_dollars:,.0f}</b> with it; honest accounts touched: <b>{watched.days[-1].honest_touched if watched.days else 0}</b>.</p>"
        + "".join(charts)
        + "<h2>Ways of harvesting</h2><table><tr><th>step</th><th>from day</th><th>exchanges in all</th><th>until found</th><th>found on day</th></tr>"
        + rows
        + "</table><p>Exchanges until found count all that this way had harvested when the first of its accounts was found. Prices and budget are the spec's.</p></html>"
    )
