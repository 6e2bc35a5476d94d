"""Lines that the strict decoder refuses -> strict JSON, where something in them can be mended or left out."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable
from typing import Any, Final

from stillwatch.watch.intake.errors import RowError
from stillwatch.watch.intake.rows import tokens, word

NOT_JSON: Final = "not valid JSON"
_WORDS: Final = ("model", "model_group", "call_type", "custom_llm_provider", "api_base", "status")
_NAMES: Final = (
    "id", "request_id", "requester_ip_address", "user_agent", "end_user", "user", "api_key", "team_id", "organization_id",
    "litellm_call_id", "trace_id",
)  # fmt: skip
_META: Final = (
    "user_api_key_hash", "user_api_key", "user_api_key_user_id", "user_api_key_user_email", "user_api_key_org_id", "user_api_key_team_id",
    "user_api_key_end_user_id", "requester_ip_address", "user_agent",
)  # fmt: skip
_COUNTS: Final = ("prompt_tokens", "completion_tokens")
#: No request that a model can use is nested as deeply.
DEEPEST: Final = 100
_MARK: Final = re.compile(rb'["\[\]{}]')
_STRING_END: Final = re.compile(rb'(?<!\\)(?:\\\\)*"')


def shallow(line: bytes, most: int = DEEPEST) -> bytes:
    """Return JSON in which everything nested more than ``most`` deep is null, without recursion; what is no JSON comes out as broken as it was."""
    out: list[bytes] = []
    depth = at = kept = 0
    while (mark := _MARK.search(line, at)) is not None:
        sign, at = mark[0], mark.end()
        if sign == b'"':
            end = _STRING_END.search(line, at)
            if end is None:
                break
            at = end.end()
        elif sign in b"[{":
            depth += 1
            if depth == most + 1:
                out += [line[kept : mark.start()], b"null"]
        else:
            if depth == most + 1:
                kept = at
            depth -= 1
    return b"".join([*out, line[kept:]]) if depth <= most else line


def _strict(value: dict[str, Any]) -> list[str]:
    """Bring the fields of a payload, or of its metadata, to their types in place; return what was left out."""
    repairs = []

    def keep(name: str, kept: object) -> None:
        if name in value and kept != value[name]:
            if kept is None and value[name] != "":
                repairs.append(f"{name}: left out, wrong type")
            value[name] = kept

    for name in _WORDS + _NAMES:
        keep(name, word(value.get(name)))
    for name in _COUNTS:
        keep(name, tokens(value.get(name)))
    for name in ("startTime", "endTime"):
        # What is no time at all becomes a word, so that the clock refuses it with the field's name.
        given = value.get(name)
        if given is not None and (isinstance(given, bool) or not isinstance(given, int | float | str)):
            value[name] = type(given).__name__
    for name in _META:
        keep(name, word(value.get(name)))
    if not isinstance(value.get("stream"), bool | None):
        keep("stream", None)
    if not isinstance(value.get("requester_custom_headers"), dict | None):
        keep("requester_custom_headers", None)
    inner = value.get("metadata")
    if isinstance(inner, dict):
        repairs += _strict(inner)
    elif not isinstance(inner, str | None):
        keep("metadata", None)
    return repairs


def mend(line: bytes, told: Callable[[str], None]) -> bytes:
    """Return strict UTF-8 JSON of one object for a line the strict decoder refused.

    NUL bytes (holes of a sparse file) are dropped, invalid UTF-8 and lone surrogates become U+FFFD, numbers that no float can hold and NaN
    become text, metadata that is no object is dropped; ``told`` hears of each once.  Raises RowError when that does not help.
    """
    repairs: list[str] = []
    if b"\0" in line:
        line = line.replace(b"\0", b"")
        repairs.append("NUL bytes removed")
    try:
        text = line.decode()
    except UnicodeDecodeError:
        text = line.decode("utf-8", "replace")
        repairs.append("invalid UTF-8 replaced")

    def odd(number: str) -> str:
        repairs.append("number that no column can hold")
        return number[:40]

    def real(number: str) -> float | str:
        value = float(number)
        return value if math.isfinite(value) else odd(number)

    def whole(number: str) -> int | str:
        return int(number) if len(number) <= 18 else odd(number)

    try:
        value = json.loads(text, parse_float=real, parse_int=whole, parse_constant=odd)
    except ValueError as error:
        where = f"at character {error.pos}" if isinstance(error, json.JSONDecodeError) else ""
        raise RowError("", NOT_JSON, where) from None
    except RecursionError:
        flat = shallow(line)
        if flat == line:
            raise RowError("", "nested too deeply") from None
        told("nested too deeply, the inner parts left out")
        return mend(flat, told)
    if not isinstance(value, dict):
        raise RowError("", "not a JSON object", type(value).__name__)
    repairs += _strict(value)
    try:
        plain = json.dumps(value, ensure_ascii=False)
    except RecursionError:
        raise RowError("", "nested too deeply") from None
    try:
        mended = plain.encode()
    except UnicodeEncodeError:
        repairs.append("lone surrogates replaced")
        mended = plain.encode("utf-16", "surrogatepass").decode("utf-16", "replace").encode()
    for reason in sorted(set(repairs)):
        told(reason)
    return mended
