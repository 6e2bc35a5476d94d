"""What the client wrote: the messages of a request, in any of the forms gateways log, as (roles, texts).

Kept are the system and developer instructions ("system") and everything else the client sends ("user").  Replies and tool results are
left out: they are not the client's words.  An invented role counts as "user", so that nobody hides a prompt behind one.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import msgspec

Segments = tuple[list[str], list[str]]
Told = Callable[[str], None]

_LEFT_OUT: Final = frozenset(("assistant", "tool", "function", "model", "ipython"))
_SYSTEM: Final = frozenset(("system", "developer"))
_FORMS: Final = ("messages", "input", "prompt", "contents")
_SIGNS: Final = {
    "image_url": "[image]", "image": "[image]", "input_image": "[image]", "input_audio": "[audio]", "audio": "[audio]", "file": "[file]",
    "input_file": "[file]", "document": "[file]", "video": "[video]", "video_url": "[video]",
}  # fmt: skip
_NOT_CLIENT: Final = frozenset(("tool_result", "tool_use", "function_call_output", "thinking", "redacted_thinking"))
#: What LiteLLM writes instead of every text when logging of messages is switched off.  Read as text, it would be a template all share.
_REDACTED: Final = "redacted-by-litellm"

NUMBERS_ONLY: Final = "messages: token ids hold no text"
UNKNOWN_FORM: Final = "messages: a form without readable text"
WITHHELD: Final = "messages: redacted by the gateway"


class _Part(msgspec.Struct, gc=False):
    type: str | None = None
    text: str | None = None


class _Message(msgspec.Struct, gc=False):
    role: str | None = None
    content: str | list[_Part] | None = None
    type: str | None = None


_messages = msgspec.json.Decoder(list[_Message]).decode


def read(raw: bytes, told: Told) -> Segments:
    """Return (roles, texts) of the undecoded JSON of ``messages``; empty lists when nothing was logged.

    ``told`` gets a constant phrase when something was left out.  Raises msgspec.DecodeError or UnicodeDecodeError for broken JSON.
    """
    if raw[:1] == b"[":
        try:
            decoded = _messages(raw)
        except msgspec.ValidationError:
            pass
        else:
            found = _usual(decoded)
            if found is not None:
                return found
    roles: list[str] = []
    texts: list[str] = []
    if len(raw) > 2:  # shorter is nothing, {}, [] or ""
        _collect(msgspec.json.decode(raw), roles, texts, told, 0)
    return roles, texts


def _usual(messages: list[_Message]) -> Segments | None:
    """Handle plain chat messages, nearly all there is; None sends the list to the thorough way."""
    roles: list[str] = []
    texts: list[str] = []
    for m in messages:
        role = m.role
        if role in _LEFT_OUT and m.type is None:
            continue
        content = m.content
        if m.type is not None or content is None or (role != "user" and role not in _SYSTEM):
            return None
        if isinstance(content, list):
            if any(p.text is None or p.type not in ("text", "input_text") for p in content):
                return None
            content = "\n".join([p.text for p in content if p.text is not None])
        if content == _REDACTED:
            return None
        if content:
            roles.append("user" if role == "user" else "system")
            texts.append(content.replace("\0", " ") if "\0" in content else content)
    return roles, texts


def _collect(value: Any, roles: list[str], texts: list[str], told: Told, depth: int) -> None:
    if value is None or value in ({}, [], ""):
        return
    if isinstance(value, str):
        packed = _packed(value) if depth < 3 else None
        if packed is None:
            _keep("user", value, roles, texts, told)
        else:
            _collect(packed, roles, texts, told, depth + 1)
    elif isinstance(value, dict):
        _mapping(value, roles, texts, told, depth)
    elif isinstance(value, list):
        if all(isinstance(v, int) or (isinstance(v, list) and all(isinstance(i, int) for i in v)) for v in value):
            told(NUMBERS_ONLY)
            return
        for item in value:
            if isinstance(item, str):
                _keep("user", item, roles, texts, told)
            elif isinstance(item, dict):
                _item(item, roles, texts, told)
            else:
                told(UNKNOWN_FORM)
    else:
        told(UNKNOWN_FORM)


def _mapping(value: dict[str, Any], roles: list[str], texts: list[str], told: Told, depth: int) -> None:
    if "role" in value or value.get("type") == "message":
        _item(value, roles, texts, told)
        return
    for name in ("instructions", "system"):
        _keep("system", text_of(value.get(name)), roles, texts, told)
    inner = next((value[name] for name in _FORMS if value.get(name)), None)
    if inner is None or depth >= 3:
        if not any(name in value for name in (*_FORMS, "instructions", "system")):
            told(UNKNOWN_FORM)
        return
    _collect(inner, roles, texts, told, depth + 1)


def _item(item: dict[str, Any], roles: list[str], texts: list[str], told: Told) -> None:
    """Take one message, one item of the Responses API, or one content part that stands alone."""
    role = item.get("role")
    role = role.lower() if isinstance(role, str) else None
    sort = item.get("type")
    if role is None and isinstance(sort, str) and sort != "message":
        # Function calls, their outputs and reasoning items have no role; of the rest only bare parts are the client's.
        if sort in ("text", "input_text") or sort in _SIGNS:
            _keep("user", text_of([item]), roles, texts, told)
        return
    if role in _LEFT_OUT:
        return
    content = next((item[name] for name in ("content", "parts", "text") if item.get(name)), None)
    _keep("system" if role in _SYSTEM else "user", text_of(content), roles, texts, told)


def _keep(role: str, text: str, roles: list[str], texts: list[str], told: Told) -> None:
    if text == _REDACTED:
        told(WITHHELD)
    elif text:
        roles.append(role)
        texts.append(text.replace("\0", " "))


def text_of(content: Any) -> str:
    """Return the text of a message's content: a string, or parts joined by line breaks, others leaving a sign such as ``[image]``."""
    if isinstance(content, str):
        return content
    if isinstance(content, dict):
        content = [content]
    if not isinstance(content, list):
        return ""
    out: list[str] = []
    for part in content:
        if isinstance(part, str):
            out.append(part)
        elif isinstance(part, dict):
            sort = part.get("type")
            text = part.get("text")
            if isinstance(sort, str) and sort in _NOT_CLIENT:
                continue
            if isinstance(sort, str) and sort in _SIGNS:
                out.append(_SIGNS[sort])
            else:
                out.append(text if isinstance(text, str) else "[other]")
    return "\n".join(out)


def _packed(text: str) -> Any | None:
    """Return the messages inside a string that is itself JSON (spend logs do that), None for a prompt that only looks like it."""
    if text[:1] not in ("[", "{"):
        return None
    try:
        value = msgspec.json.decode(text)
    except (msgspec.DecodeError, RecursionError, UnicodeError):
        return None
    if isinstance(value, list):
        first = value[0] if value else None
        return value if not value or (isinstance(first, dict) and ("role" in first or first.get("type") == "message")) else None
    if isinstance(value, dict):
        return value if not value or "role" in value or isinstance(value.get("messages"), list) else None
    return None
