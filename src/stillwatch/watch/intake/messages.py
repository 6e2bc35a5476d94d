"""What the client wrote: the messages of a request, in any of the forms gateways log.

Kept are the system and developer instructions ("system") and everything else the client sends ("user").  Replies and tool results are
left out: they are not the client's words.  An invented role counts as "user", so that nobody hides a prompt behind one.

What is no text - a placeholder of the gateway, a digest, an image alone - makes no segment.  Where the client's own part is such a thing and only
a system text can be read, one empty "user" segment stands for it: the call's whole text is then unknown, although its system text is not.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import msgspec

from stillwatch.watch.intake import withheld
from stillwatch.watch.intake.withheld import CUT_MARK, LONGEST, reason

Told = Callable[[str], None]


#: Roles, texts, and why the whole text is not known; None where it is.
Prompt = tuple[list[str], list[str], str | None]

NOT_ASKING: Final = frozenset(("assistant", "tool", "function", "model", "ipython"))
_SYSTEM: Final = frozenset(("system", "developer"))
FORMS: Final = ("messages", "input", "prompt", "contents", "data", "inputText")
SYSTEM_FORMS: Final = ("instructions", "system", "systemInstruction", "system_instruction")
SIGNS: Final = {
    "image_url": "[image]", "image": "[image]", "input_image": "[image]", "input_audio": "[audio]", "audio": "[audio]", "file": "[file]",
    "input_file": "[file]", "document": "[file]", "video": "[video]", "video_url": "[video]",
    "inlineData": "[file]", "inline_data": "[file]", "fileData": "[file]", "file_data": "[file]",
}  # fmt: skip
NOT_CLIENT: Final = frozenset(("tool_result", "tool_use", "function_call_output", "thinking", "redacted_thinking"))
NOT_CLIENT_KEYS: Final = frozenset(
    ("toolResult", "toolUse", "functionResponse", "functionCall", "function_response", "function_call", "reasoningContent")
)

#: What was empty before it was packed into a text.
_NOTHING: Final = (b'"null"', rb'"\"\""')
#: A gateway cuts texts that are longer than this.
_CUT_FROM: Final = 500
_DEEPEST: Final = 4
LEFT_OUT: Final = "messages: a part without readable text was left out"
CUT: Final = "messages: cut by the gateway, its note taken out of the text"


class _Part(msgspec.Struct, gc=False):
    type: str | None = None
    text: str | None = None


class _Message(msgspec.Struct, gc=False):
    role: str | None = None
    content: str | list[_Part] | None = None
    type: str | None = None


_messages = msgspec.json.Decoder(list[_Message]).decode


def read(raw: bytes, told: Told) -> Prompt:
    """Return the prompt in the undecoded JSON of ``messages``: roles, texts, and why the whole text is not known (None where it is).

    ``told`` gets a constant phrase when something was left out of a text that is otherwise known.  Raises msgspec.DecodeError or UnicodeDecodeError
    for broken JSON.
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
    taken = _Taken()
    if len(raw) > 2 and raw not in _NOTHING:  # shorter is nothing, {}, [] or ""
        taken.take(msgspec.json.decode(raw), 0)
    return taken.prompt(told)


def _usual(messages: list[_Message]) -> Prompt | None:
    """Handle plain chat messages, nearly all there is; None sends the list to the thorough way."""
    roles: list[str] = []
    texts: list[str] = []
    for m in messages:
        role = m.role
        if role in NOT_ASKING and m.type is None:
            continue
        content = m.content
        if m.type is not None or content is None or (role != "user" and role not in _SYSTEM):
            return None
        if isinstance(content, list):
            if any(p.text is None or p.type not in ("text", "input_text") or reason(p.text) or CUT_MARK in p.text for p in content):
                return None
            content = "\n".join([p.text for p in content if p.text is not None])
        elif len(content) <= LONGEST:
            if reason(content) is not None:
                return None
        elif len(content) > _CUT_FROM and CUT_MARK in content:
            return None
        if content:
            roles.append("user" if role == "user" else "system")
            texts.append(content.replace("\0", " ") if "\0" in content else content)
    return (roles, texts, None) if texts else None


class _Taken:
    """What was found so far in a request that is not the plain form."""

    def __init__(self) -> None:
        self.roles: list[str] = []
        self.texts: list[str] = []
        self.lost: list[tuple[str, str]] = []  # role and reason of what holds no text
        self.cut = False

    def prompt(self, told: Told) -> Prompt:
        reasons = [why for role, why in self.lost if role == "user"] or [why for _, why in self.lost]
        if self.cut:
            told(CUT)
        if not self.texts:
            return [], [], reasons[0] if reasons else withheld.NOT_STORED
        if any(role == "user" for role, _ in self.lost) and "user" not in self.roles:
            return [*self.roles, "user"], [*self.texts, ""], reasons[0]
        if self.lost:
            told(LEFT_OUT)
        return self.roles, self.texts, None

    def keep(self, role: str, content: Any) -> None:
        """Take the content of one message: a text, parts, or nothing."""
        text, why = _content(content)
        if CUT_MARK in text:
            text = withheld.uncut(text)
            self.cut = True
        if text:
            self.roles.append(role)
            self.texts.append(text.replace("\0", " "))
        if why is not None:
            self.lost.append((role, why))

    def take(self, value: Any, depth: int) -> None:
        if value is None or value in ({}, [], ""):
            return
        if isinstance(value, str):
            packed = _packed(value) if depth < _DEEPEST else None
            if packed is None:
                self.keep("user", value)
            else:
                self.take(packed, depth + 1)
        elif isinstance(value, dict):
            self.mapping(value, depth)
        elif isinstance(value, list):
            if all(_number(v) or (isinstance(v, list) and all(map(_number, v))) for v in value):
                self.lost.append(("user", withheld.TOKENS_ONLY))
                return
            for item in value:
                if isinstance(item, str):
                    self.keep("user", item)
                elif isinstance(item, dict):
                    self.item(item)
                else:
                    self.lost.append(("user", withheld.UNREADABLE))
        else:
            self.lost.append(("user", withheld.UNREADABLE))

    def mapping(self, value: dict[str, Any], depth: int) -> None:
        if "role" in value or value.get("type") == "message" or isinstance(value.get("parts"), list):
            self.item(value)
            return
        for name in SYSTEM_FORMS:
            if value.get(name):
                self.keep("system", value[name])
        # A client that fills several must not choose which is read; ``data`` stands for many things and counts alone.
        filled = {name: value[name] for name in FORMS if value.get(name)}
        if len(filled) > 1:
            filled.pop("data", None)
        if filled and depth < _DEEPEST:
            for inner in filled.values():
                self.take(inner, depth + 1)
        elif not any(name in value for name in (*FORMS, *SYSTEM_FORMS)):
            self.lost.append(("user", withheld.UNREADABLE))

    def item(self, item: dict[str, Any]) -> None:
        """Take one message, one item of the Responses API, or one content part that stands alone."""
        role = item.get("role")
        role = role.lower() if isinstance(role, str) else None
        sort = item.get("type")
        if role is None and isinstance(sort, str) and sort != "message":
            # Function calls, their outputs and reasoning items have no role; of the rest only bare parts are the client's.
            if sort in ("text", "input_text") or sort in SIGNS:
                self.keep("user", [item])
            return
        if role in NOT_ASKING:
            return
        content = next((item[name] for name in ("content", "parts", "text") if item.get(name)), None)
        self.keep("system" if role in _SYSTEM else "user", content)


def _number(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def text_of(content: Any) -> str:
    """Return the text of a message's content: a string, or parts joined by line breaks, others leaving a sign such as ``[image]``.

    Signs alone are no text, and neither is a gateway's placeholder.
    """
    return _content(content)[0]


def _content(content: Any) -> tuple[str, str | None]:
    """Return (text, why something in it is none)."""
    if isinstance(content, str):
        why = reason(content)
        return ("", why) if why else (content, None)
    if isinstance(content, dict):
        content = content["parts"] if isinstance(content.get("parts"), list) else [content]
    if not isinstance(content, list):
        return "", None if content is None else withheld.UNREADABLE
    out: list[str] = []
    written = False
    lost: str | None = None
    for part in content:
        if isinstance(part, dict):
            sort = part.get("type")
            sort = sort if isinstance(sort, str) else next((k for k in part if k in SIGNS), None)
            if sort in NOT_CLIENT or (sort is None and not NOT_CLIENT_KEYS.isdisjoint(part)):
                continue
            text = part.get("text")
            if sort in SIGNS:
                out.append(SIGNS[sort])
                lost = lost or withheld.MEDIA_ONLY
                continue
            if not isinstance(text, str):
                out.append("[other]")
                lost = lost or withheld.UNREADABLE
                continue
        elif isinstance(part, str):
            text = part
        else:
            continue
        why = reason(text)
        if why:
            lost = why
        elif text:
            out.append(text)
            written = True
    # A sign beside words belongs to the text; that something is missing matters only where nothing is left.
    return ("\n".join(out), lost if lost in (withheld.REDACTED, withheld.DIGEST) else None) if written else ("", lost)


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
