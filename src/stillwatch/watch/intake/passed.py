"""Requests that a gateway passed through unread: it logs their whole body as the text of one message.

The client writes that body, and the provider behind it reads names that nobody here may know. So that no words hide behind others, a body is taken apart
only where every text in it is read, is a reply, or declares a tool; any other stays one text.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

import msgspec

from stillwatch.watch.intake import messages

#: Parts of a request that hold words and are no prompt.
_DECLARED: Final = frozenset(
    ("tools", "functions", "toolConfig", "tool_config", "response_format", "stop", "stop_sequences", "stopSequences")
)
_NOT_WORDS: Final = frozenset((*messages.NOT_CLIENT, *messages.SIGNS, "function_call", "reasoning"))
#: Longer strings are words even without a blank; ids are shorter.
_LONGEST_ID: Final = 200


class _Message(msgspec.Struct, gc=False):
    role: str
    content: str


_logged = msgspec.json.Decoder(list[_Message]).decode
_body = msgspec.json.Decoder(dict[str, Any]).decode


def is_passed(call_type: str | None) -> bool:
    """Tell by the call type, which the gateway sets, whether it passed the request through."""
    return call_type is not None and "passthrough" in call_type.lower().replace("_", "")


def request(raw: bytes) -> bytes | None:
    """Return the request inside the undecoded messages of a call that was passed through, as undecoded JSON; None where they are to be read as they are."""
    try:
        (only,) = _logged(raw)
        inner = only.content.encode()
        body = _body(inner)
        roles, texts, _ = messages.read(inner, lambda _: None)
    except (msgspec.DecodeError, ValueError, RecursionError):
        return None
    if only.role != "user" or "user" not in roles or sum(bool(body.get(name)) for name in messages.FORMS) != 1:
        return None
    rest = {name: value for name, value in body.items() if name not in _DECLARED}
    return inner if all(any(words in text for text in texts) for words in _words(rest, within=False)) else None


def _words(value: Any, *, within: bool) -> Iterator[str]:
    """The texts in a request that must have been read; ``within`` its messages, what is not the client's may be left out."""
    if isinstance(value, str):
        if len(value) > _LONGEST_ID or not value.isascii() or len(value.split()) > 1:
            yield value.replace("\0", " ")
    elif isinstance(value, list):
        for one in value:
            yield from _words(one, within=within)
    elif isinstance(value, dict) and not (within and _left_out(value)):
        for name, one in value.items():
            yield from _words(one, within=within or name in messages.FORMS)


def _left_out(item: dict[str, Any]) -> bool:
    role, sort = item.get("role"), item.get("type")
    if isinstance(role, str):
        return role.lower() in messages.NOT_ASKING
    return sort in _NOT_WORDS if isinstance(sort, str) else not messages.NOT_CLIENT_KEYS.isdisjoint(item)


__all__ = ["is_passed", "request"]
