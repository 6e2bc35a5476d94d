"""A campaign's reasons for the terminal."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from stillwatch.records import QUESTIONS, TECHNIQUES, Campaign, Reason, RunRecord
from stillwatch.watch.evidence.words import LITERAL, count, day, line, odds, standing, weight


def by_question(reasons: Sequence[Reason]) -> list[tuple[str, list[Reason]]]:
    """(heading, reasons) by what they answer, in the order of ``QUESTIONS``; strongest first, what was not assessed last.

    Reasons of results that name no question stand last, under no heading if all are such.
    """
    ordered = sorted(reasons, key=lambda r: (not r.assessed, -r.bits))
    named = [(heading, [r for r in ordered if r.question == q]) for q, heading in QUESTIONS.items()]
    rest = [r for r in ordered if r.question not in QUESTIONS]
    named.append(("Other evidence" if len(rest) < len(ordered) else "", rest))
    return [(heading, some) for heading, some in named if some]


def explain(c: Campaign, run: RunRecord) -> RenderableType:
    """Why this is a campaign, reason by reason in bits, with calls that show it; fits 80 columns."""
    head = Text.assemble(
        (f"Campaign {line(c.id)}", "bold"),
        f"\n{count(c.accounts, 'account')}, {count(c.calls, 'call')}, {day(c.first)} to {day(c.last)} UTC\n",
        f"Evidence: {standing(c, run)}\n",
        f"Odds: {odds(c.bits)}. That is the weight of the evidence, not the chance of guilt.\n",
        "" if c.calls_until_found is None else f"Its strongest group crossed the threshold after {count(c.calls_until_found, 'call')}.\n",
        "" if min(c.p, c.q) >= LITERAL else "A chance below about 1e-9 should not be taken literally: it rests on the model.\n",
    )
    table = Table(show_lines=True, expand=False)
    table.add_column("bits", justify="right", max_width=12)
    table.add_column("reason", overflow="fold")
    for heading, reasons in by_question(c.reasons):
        if heading:
            table.add_row("", Text(heading, style="bold italic"))
        for r in reasons:
            words = Text.assemble((line(r.id), "bold"), "  ", line(r.text))
            if r.capped:
                words.append(" Capped: evidence of this kind counts no more.")
            if r.calls:
                words.append("\ncalls: " + ", ".join(line(i) for i in r.calls), style="dim")
            table.add_row(weight(r.bits, assessed=r.assessed, capped=r.capped), words)
    techniques = Text("Techniques: " + "; ".join(f"{i} {TECHNIQUES[i].name} ({grade})" for i, grade in c.techniques) + "\n")
    against = Text("What speaks against it:\n" + "\n".join(f"- {line(a)}" for a in c.against) + "\n")
    return Group(head, table, techniques, against, Text("Stillwatch does not say who the operator is."))
