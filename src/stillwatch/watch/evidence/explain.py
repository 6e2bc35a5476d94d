"""A campaign's reasons for the terminal."""

from __future__ import annotations

from datetime import UTC, datetime

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from stillwatch.foreign import shown
from stillwatch.records import TECHNIQUES, Campaign, RunRecord


def day(at: float) -> str:
    """Epoch seconds as minutes in UTC."""
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d %H:%M")


def odds(bits: float) -> str:
    """Bits in words: how many to one."""
    if bits >= 40:
        return "more than a trillion to 1"
    return f"about {2**bits:,.0f} to 1" if bits >= 1 else "no weight"


def explain(c: Campaign, run: RunRecord) -> RenderableType:
    """Why this is a campaign, reason by reason in bits, with calls that show it; fits 80 columns."""
    head = Text.assemble(
        (f"Campaign {c.id}", "bold"),
        f"\n{c.accounts} account{'s' * (c.accounts != 1)}, {c.calls:,} calls, {day(c.first)} to {day(c.last)} UTC\n",
        f"Evidence {c.bits:.1f} bits ({odds(c.bits)}); threshold {run.threshold_bits:.1f}; p = {c.p:.2g}, q = {c.q:.2g}\n",
        "" if c.calls_until_found is None else f"Its strongest group crossed the threshold after {c.calls_until_found} calls.\n",
    )
    table = Table(show_lines=True, expand=False)
    table.add_column("bits", justify="right", no_wrap=True)
    table.add_column("reason", overflow="fold")
    for r in sorted(c.reasons, key=lambda r: (not r.assessed, -r.bits)):
        calls = (shown(f"\ncalls: {', '.join(r.calls)}"), "dim") if r.calls else ""
        table.add_row(f"{r.bits:+.1f}" if r.assessed else "-", Text.assemble((r.id, "bold"), f"  {shown(r.text)}", calls))
    techniques = Text("Techniques: " + "; ".join(f"{i} {TECHNIQUES[i].name} ({grade})" for i, grade in c.techniques) + "\n")
    against = Text("What speaks against it:\n" + "\n".join(f"- {shown(a)}" for a in c.against) + "\n")
    return Group(head, table, techniques, against, Text("Stillwatch does not say who the operator is."))
