"""Numbers and foreign text in words, alike in terminal, explanation and report."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Final

from stillwatch.foreign import shown
from stillwatch.records import Campaign, RunRecord

#: Below this, a chance rests on the model more than on the data, and is said as a bound.
LITERAL: Final = 1e-9


def day(at: float) -> str:
    """Epoch seconds as minutes in UTC."""
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d %H:%M")


def count(n: int, noun: str) -> str:
    """``n`` with its noun: 1 account, 1,200 accounts."""
    return f"{n:,} {noun}{'' if n == 1 else 's'}"


def odds(bits: float) -> str:
    """Bits in words: how many to one, with one significant digit."""
    if abs(bits) < 1:
        return "no weight"
    against = " against" if bits < 0 else ""
    ratio = 2 ** min(abs(bits), 64)
    return (f"about {_rounded(ratio)} to 1" if ratio < 1 / LITERAL else "more than a billion to 1") + against


def chance(p: float) -> str:
    """A chance or a share in words, with one significant digit."""
    if p < LITERAL:
        return "below 1 in a billion"
    return f"{p:.1g}" if p >= 0.1 else f"about 1 in {_rounded(1 / p)}"


def figure(p: float) -> str:
    """A chance or a share as a short figure for a narrow column, with one significant digit."""
    return "<1e-9" if p < LITERAL else f"{p:.0e}".replace("e-0", "e-") if p < 0.001 else f"{p:.1g}"


def part(n: int, of: int) -> str:
    """``n`` of ``of`` as a share that is neither 0 % nor 100 % unless it is so."""
    if not of:
        return "0 %"
    share = 100 * n / of
    if 0 < share < 1:
        return "under 1 %"
    return "over 99 %" if 99 < share < 100 else f"{share:.0f} %"


def line(text: object) -> str:
    """Foreign text on one line, with every character that would act on the reader's screen as a visible escape."""
    plain = str(text)
    return plain if plain.isprintable() else shown(plain).replace("\n", "\\n").replace("\t", "\\t")


def needed(c: Campaign, run: RunRecord) -> float | None:
    """Bits that the campaign's own kind of test asked for; None for a lone account of a version that did not record it."""
    if c.threshold_bits is not None:
        return c.threshold_bits
    return run.threshold_bits if c.kind == "ring" else None


def standing(c: Campaign, run: RunRecord) -> str:
    """The campaign's bits beside what its own kind of test asked for, p and q."""
    least = needed(c, run)
    kind = "group" if c.kind == "ring" else "lone account"
    among = f" among {count(c.tested, kind)} tested" if c.tested is not None else ""
    asked = f"{least:.1f} needed{among}" if least is not None else "threshold not recorded"
    return f"{c.bits:.1f} bits, {asked}; p {chance(c.p)}; q {chance(c.q)}"


def weight(bits: float, *, assessed: bool = True, capped: bool = False) -> str:
    """The bits of one reason, as they may be said."""
    if not assessed:
        return "not assessed"
    return f"at least {bits:+.1f}" if capped else f"{bits:+.1f}"


def _rounded(x: float) -> str:
    x = float(f"{x:.0e}")
    if x >= 1e9:
        return f"{x / 1e9:.0f} billion"
    return f"{x / 1e6:.0f} million" if x >= 1e6 else f"{x:,.0f}"
