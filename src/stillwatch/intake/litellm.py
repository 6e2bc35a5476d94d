"""LiteLLM's ``StandardLoggingPayload`` and ``LiteLLM_SpendLogs`` rows -> rows of ``records.CALLS``.

Only what is needed is decoded: the reply is skipped, never parsed into objects.  Of the messages only what the client wrote is kept (system,
developer and user roles); replies, tool results and function results are not the client's words.
"""

from __future__ import annotations

import json
import math
import re
from datetime import UTC, datetime
from typing import Any, Final

import msgspec

from stillwatch.intake.identity import Identity

_EARLIEST: Final = 1420070400.0  # 2015-01-01
_LATEST: Final = 4102444800.0  # 2100-01-01

#: Sampling settings whose values tell clients apart; of others only the name is kept.
_VALUES: Final = frozenset(
    "temperature top_p top_k min_p max_tokens max_completion_tokens max_output_tokens n best_of presence_penalty frequency_penalty logprobs "
    "top_logprobs tool_choice reasoning_effort parallel_tool_calls echo".split()
)
#: Differs from call to call, or says nothing of the client.
_IGNORED: Final = frozenset("seed user metadata stream stream_options extra_headers extra_body timeout litellm_params prompt_cache_key safety_identifier".split())
_SURROGATES: Final = re.compile("[\ud800-\udfff\0]")


class Rejected(ValueError):
    """A row that cannot be used: ``field`` and ``reason``."""

    def __init__(self, field: str, reason: str) -> None:
        super().__init__(f"{field}: {reason}")
        self.field, self.reason = field, reason


class Payload(msgspec.Struct):
    """The fields of a logged call that are read, under both formats' names."""

    id: Any = None
    request_id: Any = None
    startTime: Any = None
    endTime: Any = None
    model: Any = None
    call_type: Any = None
    custom_llm_provider: Any = None
    status: Any = None
    stream: Any = None
    metadata: Any = None
    model_parameters: Any = None
    messages: Any = None
    input: Any = None
    prompt: Any = None
    proxy_server_request: Any = None
    requester_ip_address: Any = None
    user_agent: Any = None
    end_user: Any = None
    user: Any = None
    api_key: Any = None
    team_id: Any = None
    organization_id: Any = None
    prompt_tokens: Any = None
    completion_tokens: Any = None


_DECODER: Final = msgspec.json.Decoder(Payload)
_ARRAY: Final = msgspec.json.Decoder(list[msgspec.Raw])


def decode(line: bytes) -> Payload:
    """One JSON object.

    Raises:
        Rejected: it is not one.
    """
    try:
        return _DECODER.decode(line)
    except msgspec.ValidationError as error:
        raise Rejected("", f"not a JSON object of a logged call ({error})") from None
    except (msgspec.DecodeError, RecursionError) as error:
        raise Rejected("", f"not valid JSON ({error})") from None


def elements(text: bytes) -> list[msgspec.Raw]:
    """The elements of a JSON array, undecoded."""
    try:
        return _ARRAY.decode(text)
    except (msgspec.DecodeError, RecursionError) as error:
        raise Rejected("", f"not a JSON array of logged calls ({error})") from None


def seconds(value: Any, field: str) -> float:
    """Epoch seconds from seconds, milli- or microseconds, ISO 8601 text (UTC where it names no zone) or a datetime."""
    try:
        if isinstance(value, str):
            try:
                number = float(value)
            except ValueError:
                value = datetime.fromisoformat(value.strip())
        if isinstance(value, datetime):
            number = (value if value.tzinfo else value.replace(tzinfo=UTC)).timestamp()
        elif not isinstance(value, str):
            if isinstance(value, bool) or not isinstance(value, (int, float)):
                raise Rejected(field, "missing" if value is None else f"not a time ({type(value).__name__})")
            number = float(value)
    except (ValueError, OverflowError) as error:
        if isinstance(error, Rejected):
            raise
        raise Rejected(field, "not a time; give epoch seconds or ISO 8601") from None
    if math.isfinite(number):
        if abs(number) > 1e14:
            number /= 1e6
        elif abs(number) > 1e11:
            number /= 1e3
    if not _EARLIEST <= number <= _LATEST:
        raise Rejected(field, "time out of range (2015 to 2100)")
    return number


def _clean(text: str) -> str:
    return _SURROGATES.sub(" ", text) if not text.isprintable() and _SURROGATES.search(text) else text


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) and value else str(value) if isinstance(value, int) and not isinstance(value, bool) else None


def _content(content: Any) -> str:
    """Text of a message's content: a string, or parts of which only text is kept and anything else leaves its kind behind."""
    if isinstance(content, str):
        return content
    if not isinstance(content, list):
        return ""
    parts = []
    for part in content:
        if isinstance(part, str):
            parts.append(part)
        elif isinstance(part, dict):
            text = part.get("text")
            parts.append(text if isinstance(text, str) else f"[{part.get('type', 'part')}]")
    return "\n".join(parts)


def _segments(messages: Any, depth: int = 0) -> list[tuple[str, str]]:
    """(role, text) of what the client wrote, from any of the forms a log holds."""
    if isinstance(messages, str):
        if depth == 0 and messages[:1] in "[{" and len(messages) > 1:
            try:
                return _segments(msgspec.json.decode(messages), 1)
            except (msgspec.DecodeError, RecursionError):
                pass
        return [("user", messages)] if messages else []
    if isinstance(messages, dict):
        if "role" in messages or messages.get("type") == "message":
            messages = [messages]
        else:
            system = messages.get("instructions") or messages.get("system")
            inner = next((messages[k] for k in ("messages", "input", "prompt") if messages.get(k)), None)
            return [("system", _content(system))] * bool(system) + (_segments(inner, depth + 1) if depth < 3 else [])
    if not isinstance(messages, list):
        return []
    out = []
    for m in messages:
        if isinstance(m, str):
            out.append(("user", m))
        elif isinstance(m, dict):
            role = m.get("role", "user" if m.get("type") in (None, "message", "input_text") else "")
            if role in ("system", "developer", "user"):
                text = _content(m.get("content", m.get("text")))
                if text:
                    out.append(("user" if role == "user" else "system", text))
    return out


def _canonical(value: Any) -> str:
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, default=str)


def _parameters(given: Any) -> tuple[str, str | None]:
    """(sampling settings, tool and reply schemas) as canonical JSON."""
    if not isinstance(given, dict):
        return "{}", None
    settings: dict[str, Any] = {}
    schemas: list[Any] = []
    for name, value in given.items():
        if name in _IGNORED or value is None:
            continue
        if name in ("tools", "functions"):
            for tool in value if isinstance(value, list) else []:
                inner = tool.get("function", tool) if isinstance(tool, dict) else {}
                schemas.append([inner.get("name"), inner.get("parameters")] if isinstance(inner, dict) else None)
            settings[name] = None
        elif name in ("response_format", "text_format"):
            kind = value.get("type") if isinstance(value, dict) else value
            settings[name] = kind if isinstance(kind, str) else None
            if isinstance(value, dict) and "json_schema" in value:
                schemas.append(value["json_schema"])
        elif name == "stop":
            settings[name] = len(value) if isinstance(value, list) else 1
        elif name in _VALUES and isinstance(value, (int, float, str)):
            settings[name] = float(value) if isinstance(value, (int, float)) and not isinstance(value, bool) else value
        else:
            settings[name] = None
    return _canonical(settings), _canonical(schemas) if schemas else None


def _metadata(value: Any) -> dict[str, Any]:
    if isinstance(value, str):
        try:
            value = msgspec.json.decode(value)
        except (msgspec.DecodeError, RecursionError):
            return {}
    return value if isinstance(value, dict) else {}


class RowMaker:
    """Makes rows of ``records.CALLS`` from decoded payloads; caches what repeats from call to call."""

    def __init__(self, identity: Identity) -> None:
        self._identity = identity

    def row(self, p: Payload) -> dict[str, Any]:
        """One row.

        Raises:
            Rejected: a field without which the call cannot be used is missing or wrong.
        """
        identity = self._identity
        call_id = _text(p.id) or _text(p.request_id)
        if call_id is None:
            raise Rejected("id", "missing")
        at = seconds(p.startTime, "startTime")
        try:
            ended = None if p.endTime is None else seconds(p.endTime, "endTime")
        except Rejected:
            ended = None
        meta = _metadata(p.metadata)
        # Never ``end_user``, nor ``user`` where the proxy knows the key's owner: those are what the client says of himself.
        account = _text(meta.get("user_api_key_user_id")) or (p.request_id is not None and p.id is None and _text(p.user)) or None
        account = account or _text(meta.get("user_api_key_hash")) or _text(meta.get("user_api_key")) or _text(p.api_key)
        if not account:
            raise Rejected("metadata.user_api_key_user_id", "missing, and no key hash to stand in for it")
        org = next((t for t in map(_text, (meta.get("user_api_key_org_id"), p.organization_id, meta.get("user_api_key_team_id"), p.team_id)) if t), None)
        mail = meta.get("user_api_key_user_email")
        mail_ref, domain_ref, shape = identity.mail(mail if isinstance(mail, str) else None)
        address = p.requester_ip_address or meta.get("requester_ip_address")
        address_ref, network_ref = identity.address(address if isinstance(address, str) else None)
        headers = meta.get("requester_custom_headers")
        params, tools = _parameters(p.model_parameters)
        segments = _segments(p.messages) or _segments(p.input) or _segments(p.prompt)
        if not segments and p.proxy_server_request:
            segments = _segments(_metadata(p.proxy_server_request))
        elif isinstance(p.model_parameters, dict) and isinstance(p.model_parameters.get("instructions"), str):
            segments.insert(0, ("system", p.model_parameters["instructions"]))
        return {
            "call_id": call_id,
            "account": identity.account(account),
            "at": at,
            "ended": ended,
            "model": _text(p.model),
            "call_type": _text(p.call_type),
            "access_path": _text(p.custom_llm_provider),
            "status": _text(p.status),
            "stream": p.stream if isinstance(p.stream, bool) else None,
            "org_ref": identity.ref("org", org),
            "mail_ref": mail_ref,
            "mail_domain_ref": domain_ref,
            "mail_shape": shape,
            "address_ref": address_ref,
            "network_ref": network_ref,
            "end_user_ref": identity.ref("end-user", _text(p.end_user) or _text(meta.get("user_api_key_end_user_id"))),
            "agent": _text(p.user_agent) or _text(meta.get("user_agent")),
            "headers": ",".join(sorted(map(str, headers))) if isinstance(headers, dict) else None,
            "params": params,
            "tools": tools,
            "prompt_tokens": p.prompt_tokens if isinstance(p.prompt_tokens, int) and abs(p.prompt_tokens) < 2**62 else None,
            "reply_tokens": p.completion_tokens if isinstance(p.completion_tokens, int) and abs(p.completion_tokens) < 2**62 else None,
            "roles": [r for r, _ in segments],
            "segments": [_clean(t) for _, t in segments],
        }
