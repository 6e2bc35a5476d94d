"""Inline SVG pictures of a case, and the data of the matrix.  Every text is escaped here; every picture has a title for those who cannot see it.

Lengths along the page are shares of its width and letters keep their size, so that a picture is legible on a telephone as on paper.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime
from html import escape
from typing import Final

from markupsafe import Markup

from stillwatch.records import Reason, Segment, StreamRow
from stillwatch.watch.evidence.explain import by_question
from stillwatch.watch.evidence.words import line, weight

#: Colour-blind safe (Okabe and Ito), each paired with a letter so that colour is never the only sign.
COLOURS: Final = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#8c6d1f", "#7a5195")
ROWS: Final = 60


def luminance(colour: str) -> float:
    """Relative luminance of ``#rrggbb`` after WCAG 2, 0 to 1."""
    parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    r, g, b = (c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts)
    return 0.2126 * r + 0.7152 * g + 0.0722 * b


def contrast(one: str, other: str) -> float:
    """Contrast of two colours after WCAG 2, 1 to 21; text needs 4.5 (AA)."""
    light, dark = sorted((luminance(one), luminance(other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def letter_on(colour: str) -> str:
    """Black or white, whichever is easier to read on ``colour``."""
    return max("#000000", "#ffffff", key=lambda ink: contrast(ink, colour))


def reasons_chart(reasons: Sequence[Reason]) -> Markup:
    """Bars in bits by question, the strongest first, negative ones to the left; a bar that was cut off at its cap ends in an arrow."""
    shown = [r for r in reasons if r.assessed]
    if not shown:
        return Markup("")
    most, least = max(1.0, *(r.bits for r in shown)), min(0.0, *(r.bits for r in shown))
    scale = 96 / (most - least)
    zero = -least * scale
    body, y = "", 0
    for heading, some in by_question(shown):
        if heading:
            body += _text("0", y + 18, heading, "head")
            y += 26
        for r in some:
            x, w = (zero, r.bits * scale) if r.bits >= 0 else (zero + r.bits * scale, -r.bits * scale)
            body += _text("0", y + 13, f"{r.id}: {weight(r.bits, capped=r.capped)}")
            body += _rect(x, y + 18, max(w, 0.3), 12, "for" if r.bits >= 0 else "against")
            body += f'<line x1="{zero:.2f}%" y1="{y + 16}" x2="{zero:.2f}%" y2="{y + 32}" class="axis"/>'
            if r.capped:  # an arrow that goes on, behind a gap
                body += f'<svg x="{x + w:.2f}%" y="{y + 16}" width="14" height="16" class="cap"><path d="M2 0v16M5 2l7 6l-7 6z"/></svg>'
            y += 38
    return _svg(y + 4, "Evidence in bits: " + ", ".join(f"{r.id} {weight(r.bits, capped=r.capped)}" for r in shown), body)


def timeline(bins: Sequence[tuple[float, int]], seconds: float) -> Markup:
    """Calls over time."""
    if not bins:
        return Markup("")
    height = 130
    most = max(1, *(n for _, n in bins))
    step = 100 / len(bins)
    body = _text("0", 12, f"{most:,}")
    for i, (_, n) in enumerate(bins):
        h = height * n / most
        if n:
            body += _rect(i * step, 18 + height - h, max(step - 0.2, 0.1), h, "for")
    body += f'<line x1="0" y1="{18 + height}" x2="100%" y2="{18 + height}" class="axis"/>'
    marks = {0: "start", len(bins) // 2: "middle", len(bins) - 1: "end"} if len(bins) > 2 else {0: "start"}
    for i, anchor in marks.items():
        when = datetime.fromtimestamp(bins[i][0], UTC).strftime("%d %b %H:%M")
        body += _text(f"{(0, 50, 100)[('start', 'middle', 'end').index(anchor)]}%", height + 36, when, anchor=anchor)
    return _svg(height + 42, f"Calls per {seconds / 3600:g} h, at most {most}", body)


def traits_matrix(streams: Sequence[StreamRow], rows: int) -> tuple[list[str], list[tuple[str, list[tuple[str, str]]]]]:
    """Accounts by traits: (kinds, rows of an account and its cells as (class, letter)), alike accounts together.

    The same class and letter in a column mean the same value; class "alone" a value that no other account has, "none" an unknown one.
    """
    kinds = list(dict.fromkeys(k for s in streams for k in s.traits))
    tally = {k: Counter(s.traits[k] for s in streams if k in s.traits) for k in kinds}
    code = {k: {v: i for i, (v, n) in enumerate(tally[k].most_common()) if n > 1} for k in kinds}
    drawn = sorted(streams, key=lambda s: tuple(code[k].get(s.traits.get(k, ""), 10**6) for k in kinds))[:rows]

    def of(s: StreamRow, k: str) -> tuple[str, str]:
        if k not in s.traits:
            return "none", "?"
        number = code[k].get(s.traits[k])
        if number is None:
            return "alone", "·"
        return f"c{number % len(COLOURS)}", chr(65 + number) if number < 26 else str(number + 1)

    return kinds, [(s.account, [of(s, k) for k in kinds]) for s in drawn]


def skeleton_strip(segments: Sequence[Segment]) -> Markup:
    """Fixed runs as solid blocks, slots as dashed gaps; widths grow with the logarithm of the words."""
    widths = [1.3 + math.log2(1 + s.words[1]) for s in segments]
    body, x = "", 0.0
    for s, width in zip(segments, widths, strict=True):
        w = 100 * width / sum(widths)
        body += _rect(x, 4, max(w - 0.4, 0.1), 34, "slot" if s.slot else "fixed")
        if w > 10:
            body += _text(f"{x + w / 2:.2f}%", 26, f"{s.words[1]}", "inslot" if s.slot else "letter", "middle")
        x += w
    return _svg(42, "Skeleton: " + ", ".join(f"{'slot' if s.slot else 'fixed'} {s.words[1]} words" for s in segments), body)


def _svg(height: float, title: str, body: str) -> Markup:
    return Markup(  # noqa: S704 - every text in body is escaped by the functions around
        f'<svg role="img" width="100%" height="{height:g}"><title>{escape(line(title))}</title>{body}</svg>'
    )


def _text(x: str, y: float, words: str, kind: str = "", anchor: str = "") -> str:
    more = (f' class="{kind}"' if kind else "") + (f' text-anchor="{anchor}"' if anchor else "")
    return f'<text x="{x}" y="{y:g}"{more}>{escape(line(words))}</text>'


def _rect(x: float, y: float, width: float, height: float, kind: str) -> str:
    return f'<rect x="{x:.2f}%" y="{y:.1f}" width="{width:.2f}%" height="{height:.1f}" class="{kind}"/>'
