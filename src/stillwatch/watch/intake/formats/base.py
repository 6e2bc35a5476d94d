"""What a log format is: how its files are recognised and cut, and how a call is taken out of its lines."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final, Protocol

import msgspec

from stillwatch.watch.intake.lines import Block, Oversize, Source
from stillwatch.watch.intake.mending import shallow

Cut = Callable[..., Iterator[Block | Oversize]]
#: The key that every LiteLLM call has and that no other log has by this name beside an id.
START: Final = "startTime"
#: So much of a file is looked at to recognise it.
HEAD: Final = 1 << 16
EXPECTED: Final = "expected id or request_id, startTime, metadata"
EXPORT: Final = """psql -At -c 'SELECT row_to_json(t) FROM "LiteLLM_SpendLogs" t' > spend.jsonl"""
fields: Final = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
_KEY: Final = re.compile(r"[@_]?[A-Za-z_][A-Za-z_.\-]{0,39}\d{0,2}")
_MOST_KEYS: Final = 12


class Opener(Protocol):
    """Takes the calls out of the lines of one file, line after line."""

    def __call__(self, line: bytes) -> list[bytes]:
        """Return the calls in a line, each a JSON object; none where it only begins or goes on with one, or holds none.

        Raises RowError for a line that cannot be opened.
        """
        ...

    def finish(self) -> Iterable[tuple[str, int]]:
        """Return constant phrases on the whole file, each with a number of lines; called once, at its end."""
        ...


@dataclass(frozen=True, slots=True)
class Shape:
    """How a recognised file is read: ``cut`` gives blocks of lines; without ``opener`` each line is a call."""

    cut: Cut
    opener: Opener | None = None


class Format(Protocol):
    """One log format.  ``examples`` are small files of it, each with the calls of ``EXAMPLE``."""

    name: str

    def sniff(self, head: bytes) -> Shape | None:
        """Return how to read a file that begins with ``head`` (whole if it is short), None for a file of another format."""
        ...

    def examples(self) -> tuple[bytes, ...]:
        """Return small files of this format, one of each kind it has."""
        ...


class Ended:
    """Stands for the source of a head that was cut out of a file: what it ends with may be half an object."""

    damage = "only the head"


def decoded(line: bytes) -> Any:
    """Return the JSON value of a line, None for what is none; one that is nested too deeply without its inner parts."""
    text = line.replace(b"\0", b"")
    for _ in range(2):
        try:
            return json.loads(text.decode("utf-8", "replace"))
        except ValueError:
            return None
        except RecursionError:
            text = shallow(text)
    return None


def is_call(found: Mapping[str, object]) -> bool:
    """Tell whether an object that stood inside another has what every call has."""
    return (
        "startTime" in found and ("id" in found or "request_id" in found) and not found.keys().isdisjoint(("metadata", "api_key", "user"))
    )


def keys_told(found: Mapping[str, object]) -> str:
    """Return the names of an object's keys for an error; a key that may be data is left out."""
    names = [k for k in found if _KEY.fullmatch(k)]
    if not names:
        return "objects have no keys that could be field names"
    return f"objects have {', '.join(names[:_MOST_KEYS])}{', ...' if len(names) > _MOST_KEYS else ''}"


def lines_of(head: bytes) -> list[bytes]:
    """Return the lines of a head that hold something; the last may be cut."""
    return [line for line in head.split(b"\n") if line.strip(b" \t\r\0")]


def _payload(n: int) -> dict[str, Any]:
    return {
        "id": f"chatcmpl-{n}", "startTime": 1_780_300_800.25 + n, "endTime": 1_780_300_801.5 + n, "model": "m", "call_type": "acompletion",
        "custom_llm_provider": "openai", "status": "success",
        "metadata": {"user_api_key_hash": f"{n:064x}", "user_api_key_user_id": f"u-{n}"},
        "messages": [{"role": "user", "content": f'line one of {n}\nand "two"\tof it'}], "model_parameters": {"temperature": 0.5},
    }  # fmt: skip


def _row(n: int) -> dict[str, Any]:
    p = _payload(n)
    body = {"messages": p["messages"], "temperature": 0.5}
    return {
        "request_id": p["id"], "startTime": f"2026-06-01 08:00:0{n}.25", "endTime": f"2026-06-01 08:00:0{n + 1}.5", "model": "m",
        "call_type": "acompletion", "custom_llm_provider": "openai", "status": "success", "user": f"u-{n}", "api_key": f"{n:064x}",
        "metadata": p["metadata"], "messages": {}, "proxy_server_request": body,
    }  # fmt: skip


#: The calls that every example holds: as logging payloads and as rows of the spend log.
EXAMPLE: Final = (_payload(0), _payload(1))
EXAMPLE_ROWS: Final = (_row(0), _row(1))


def packed(value: object) -> str:
    """Return compact JSON."""
    return json.dumps(value, ensure_ascii=False)


__all__ = [
    "EXAMPLE",
    "EXAMPLE_ROWS",
    "EXPECTED",
    "EXPORT",
    "HEAD",
    "START",
    "Cut",
    "Ended",
    "Format",
    "Opener",
    "Shape",
    "Source",
    "decoded",
    "fields",
    "is_call",
    "keys_told",
    "lines_of",
    "packed",
]  # fmt: skip
