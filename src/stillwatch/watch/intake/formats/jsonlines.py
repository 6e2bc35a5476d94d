"""LiteLLM's calls as JSON Lines, as a JSON array, and as objects that spread over several lines."""

from __future__ import annotations

import json
import re
from typing import Final

from stillwatch.watch.intake.formats.base import EXAMPLE, EXAMPLE_ROWS, START, Ended, Shape, decoded, lines_of, packed
from stillwatch.watch.intake.formats.wrapped import Wrapped, opens
from stillwatch.watch.intake.lines import Block, elements, split

_SPREAD: Final = re.compile(rb"\{[ \t]*\r?\n")


class Lines:
    """One call a line."""

    name = "JSON Lines"

    def sniff(self, head: bytes) -> Shape | None:
        """Tell by the first lines (see ``base.Format``)."""
        lines = lines_of(head)
        for line in lines:
            value = decoded(line)
            if isinstance(value, dict) and START in value:
                return Shape(split)
        return None

    def examples(self) -> tuple[bytes, ...]:
        """Return one example (see ``base.Format``)."""
        return tuple("\n".join(map(packed, calls)).encode() for calls in (EXAMPLE, EXAMPLE_ROWS))


class Elements:
    """A JSON array of calls, or calls that are each written over several lines."""

    name = "JSON array"

    def sniff(self, head: bytes) -> Shape | None:
        """Tell by the first lines (see ``base.Format``)."""
        start = head.lstrip(b" \t\r\n\0")
        if not start.startswith(b"[") and not _SPREAD.match(start):
            return None
        first = next((b for b in elements([start], Ended()) if isinstance(b, Block)), None)  # type: ignore[arg-type]
        value = None if first is None else decoded(first.lines[0])
        if first is None or not isinstance(value, dict):  # the first is longer than the head, or broken
            return Shape(elements) if b'"startTime"' in start else None
        if START in value:
            return Shape(elements)
        return Shape(elements, Wrapped()) if opens(first.lines) else None

    def examples(self) -> tuple[bytes, ...]:
        """Return one example (see ``base.Format``)."""
        spread = "\n".join(json.dumps(call, indent=1) for call in EXAMPLE)
        return json.dumps(EXAMPLE_ROWS, indent=2).encode(), packed(list(EXAMPLE)).encode(), spread.encode()
