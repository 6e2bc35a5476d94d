"""Inline SVG pictures of a case.  Every text is escaped here; every picture has a title for those who cannot see it."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime
from html import escape
from typing import Final

from markupsafe import Markup

from stillwatch.records import Reason, Segment, StreamRow

#: Colour-blind safe (Okabe and Ito), each paired with a letter so that colour is never the only sign.
_COLOURS: Final = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#8c6d1f", "#7a5195")
ROWS: Final = 60


def _svg(width: float, height: float, title: str, body: str) -> Markup:
    return Markup(  # noqa: S704 - every text in body is escaped by the functions below
        f'<svg role="img" viewBox="0 0 {width:g} {height:g}" width="{width:g}" height="{height:g}"><title>{escape(title)}</title>{body}</svg>'
    )


def _text(x: float, y: float, words: str, kind: str = "", anchor: str = "start") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" class="{kind}" text-anchor="{anchor}">{escape(words)}</text>'


def reasons_chart(reasons: Sequence[Reason]) -> Markup:
    """Horizontal bars in bits, the strongest first, negative ones to the left."""
    shown = sorted((r for r in reasons if r.assessed), key=lambda r: -r.bits)
    if not shown:
        return Markup("")
    most, least = max(1.0, *(r.bits for r in shown)), min(0.0, *(r.bits for r in shown))
    left, width, row = 130.0, 500.0, 26.0
    scale = width / (most - least)
    zero = left - least * scale
    body = ""
    for i, r in enumerate(shown):
        y = 8 + i * row
        x, w = (zero, r.bits * scale) if r.bits >= 0 else (zero + r.bits * scale, -r.bits * scale)
        body += _text(left - 10, y + 14, r.id, anchor="end")
        body += f'<rect x="{x:.1f}" y="{y:.1f}" width="{max(w, 1):.1f}" height="18" class="{"for" if r.bits >= 0 else "against"}"/>'
        body += _text(max(x + w, zero) + 6, y + 14, f"{r.bits:+.1f}")
    height = 16 + len(shown) * row
    body += f'<line x1="{zero:.1f}" y1="2" x2="{zero:.1f}" y2="{height - 6:.1f}" class="axis"/>'
    return _svg(left + width + 60, height, "Evidence in bits: " + ", ".join(f"{r.id} {r.bits:+.1f}" for r in shown), body)


def timeline(bins: Sequence[tuple[float, int]], seconds: float) -> Markup:
    """Calls over time."""
    if not bins:
        return Markup("")
    width, height, left = 640.0, 130.0, 46.0
    most = max(n for _, n in bins)
    step = width / len(bins)
    body = ""
    for i, (_, n) in enumerate(bins):
        h = height * n / most
        body += f'<rect x="{left + i * step:.1f}" y="{12 + height - h:.1f}" width="{max(step - 1, 1):.1f}" height="{h:.1f}" class="for"/>'
    body += f'<line x1="{left}" y1="{12 + height}" x2="{left + width}" y2="{12 + height}" class="axis"/>'
    body += _text(left - 6, 22, str(most), anchor="end") + _text(left - 6, 12 + height, "0", anchor="end")
    marks = sorted({0, len(bins) // 3, 2 * len(bins) // 3, len(bins) - 1})
    for i in marks:
        day = datetime.fromtimestamp(bins[i][0], UTC).strftime("%d %b %H:%M")
        body += _text(left + i * step, height + 30, day, anchor="start" if i == 0 else "end" if i == marks[-1] else "middle")
    return _svg(left + width + 20, height + 40, f"Calls per {seconds / 3600:g} h, at most {most}", body)


def traits_matrix(streams: Sequence[StreamRow]) -> Markup:
    """Accounts by traits: one row an account, the same colour and letter in a column where the value is the same."""
    kinds = list(dict.fromkeys(k for s in streams for k in s.traits))
    if not kinds:
        return Markup("")
    tally = {k: Counter(s.traits[k] for s in streams if k in s.traits) for k in kinds}
    code = {k: {v: i for i, (v, n) in enumerate(tally[k].most_common()) if n > 1} for k in kinds}
    rows = sorted(streams, key=lambda s: tuple(code[k].get(s.traits.get(k, ""), 10**6) for k in kinds))[:ROWS]
    left, top, cell, row = 190.0, 26.0, 104.0, 16.0
    body = "".join(_text(left + j * cell + cell / 2, 16, k, anchor="middle") for j, k in enumerate(kinds))
    for i, s in enumerate(rows):
        y = top + i * row
        name = s.account if len(s.account) <= 22 else s.account[:21] + "…"
        body += _text(left - 10, y + 12.5, name, "small", "end")
        for j, k in enumerate(kinds):
            value = s.traits.get(k)
            x = left + j * cell
            number = code[k].get(value, None) if value is not None else None
            if number is None:
                body += f'<rect x="{x:.1f}" y="{y:.1f}" width="{cell - 3}" height="{row - 2}" class="{"alone" if value is not None else "none"}"/>'
            else:
                label = chr(65 + number) if number < 26 else str(number + 1)
                fill = _COLOURS[number % len(_COLOURS)]
                body += f'<rect x="{x:.1f}" y="{y:.1f}" width="{cell - 3}" height="{row - 2}" fill="{fill}"/>'
                body += _text(x + cell / 2, y + 12, label, "letter", "middle")
    return _svg(left + len(kinds) * cell, top + len(rows) * row + 4, f"{len(rows)} accounts by {', '.join(kinds)}", body)


def skeleton_strip(segments: Sequence[Segment]) -> Markup:
    """Fixed runs as solid blocks, slots as dashed gaps; widths grow with the logarithm of the words."""
    widths = [34 + 26 * math.log2(1 + s.words[1]) for s in segments]
    total = sum(widths)
    scale = min(1.0, 900 / total) if total else 1.0
    body, x = "", 0.0
    for s, w in zip(segments, (w * scale for w in widths), strict=True):
        body += f'<rect x="{x + 1:.1f}" y="4" width="{w - 2:.1f}" height="34" class="{"slot" if s.slot else "fixed"}"/>'
        if w > 30:
            body += _text(x + w / 2, 26, f"{s.words[1]}", "inslot" if s.slot else "letter", "middle")
        x += w
    return _svg(max(x, 1), 42, "Skeleton: " + ", ".join(f"{'slot' if s.slot else 'fixed'} {s.words[1]} words" for s in segments), body)
