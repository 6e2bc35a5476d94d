"""Invented cases that the tests of this folder render."""

from __future__ import annotations

from dataclasses import replace
from html.parser import HTMLParser

from stillwatch.records import Campaign, Lead, Notice, Reason, RunRecord, Segment, StreamRow

NASTY = "<script>alert('x')</script>\"&[bold]"


def a_run(**changes: object) -> RunRecord:
    run = RunRecord(
        "0.1.0", {"fingerprints": "winnow-1"}, "stillwatch detect logs --out found", {"show_text": False},
        ({"file": "calls.jsonl", "bytes": 10, "sha256": "ab" * 32, "calls": 100, "rejected": 1},), 100, 20, 1, 50, 12.3, {"read": 1.0},
        "2026-01-01T00:00:00+00:00", (Notice("note", "a notice"),),
    )  # fmt: skip
    return replace(run, **changes)  # type: ignore[arg-type]


def a_campaign(**changes: object) -> Campaign:
    streams = tuple(
        StreamRow(
            f"account {i}", 20, 10, 1.0e9 + i, 1.0e9 + 9e5, 7.5, {"card": f"card {i // 4}", "address": f"place {i % 3}", "age": f"own {i}"}
        )
        for i in range(30)
    )
    c = Campaign(
        "c-1", "ring", 84.2, 2.0**-84, 1e-20, 1.0e9, 1.0e9 + 9e5, 300, 30, (("D01", "inferred"), ("D11", "observed")),
        (Reason("payment", 30.0, "Cards.", ("call 1",)), Reason("mail", -1.5, "Mail."), Reason("network", 0.0, "Not assessed.", (), False)),
        ("Something speaks against it.",), streams, ((1.0e9, 100), (1.0e9 + 3600, 200)), 3600.0,
        ((Segment(False, (12, 12, 12), 0.0), Segment(True, (3, 9, 40), 0.98)),), ("winnow-1:00ff",), 88,
    )  # fmt: skip
    return replace(c, **changes)  # type: ignore[arg-type]


def a_lead(**changes: object) -> Lead:
    lead = Lead(
        "l-1", {"hand": 9.5, "hidden": 2.0}, ("account 1", "account 2"), 40, ("winnow-1:00ff",), 1.0e9, 1.0e9 + 3600, "They share a card.",
        "Too few share it.", "Ask for the sign-up records.",
    )  # fmt: skip
    return replace(lead, **changes)  # type: ignore[arg-type]


class Balanced(HTMLParser):
    """Fails on tags that are not closed in order, and remembers what the page refers to."""

    VOID = frozenset({"meta", "br", "rect", "line", "img", "hr"})

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[str] = []
        self.links: list[str] = []
        self.ids: set[str] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        if tag not in self.VOID:
            self.open.append(tag)
        for name, value in attrs:
            if name in ("href", "src"):
                self.links.append(str(value))
            if name == "id":
                self.ids.add(str(value))

    def handle_endtag(self, tag: str) -> None:
        if tag not in self.VOID:
            assert self.open.pop() == tag

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)


def parsed(html: str) -> Balanced:
    page = Balanced()
    page.feed(html)
    assert page.open == []
    return page
