"""LiteLLM's ``StandardLoggingPayload``: one JSON object per call -> a row of ``records.CALLS``.

Only the fields named here are decoded.  The account is the owner of the authenticated key, never what a client
says of itself (``user``, ``end_user``).  A client may send anything, so what it controls is left out and counted when it cannot be used,
and does not send its call to quarantine.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from typing import Any, Final, NamedTuple
from urllib.parse import urlsplit

import msgspec

from stillwatch.watch.intake import answers, messages, spendlogs
from stillwatch.watch.intake.clock import epoch
from stillwatch.watch.intake.errors import RowError
from stillwatch.watch.intake.identity import Identity, Mail
from stillwatch.watch.intake.parameters import NO_SETTINGS, Settings, SettingsReader
from stillwatch.watch.intake.rows import Row, tokens, word

_NOTHING: Final = msgspec.Raw(b"")
_LONGEST_AGENT: Final = 512
_NOT_JSON: Final = "not valid JSON"


class Metadata(msgspec.Struct, gc=False):
    """What the proxy itself knows about the key and the request."""

    user_api_key_hash: str | int | None = None
    user_api_key: str | int | None = None
    user_api_key_user_id: str | int | None = None
    user_api_key_user_email: str | int | None = None
    user_api_key_org_id: str | int | None = None
    user_api_key_team_id: str | int | None = None
    user_api_key_end_user_id: str | int | None = None
    requester_ip_address: str | int | None = None
    user_agent: str | int | None = None
    requester_custom_headers: dict[str, Any] | None = None


class Payload(msgspec.Struct, gc=False):
    """The fields of a logged call that are read, under the names of both of LiteLLM's formats.

    The types are strict, because then the decoder checks them; a line that breaks them takes the long way round through ``mend``.
    """

    id: str | int | None = None
    startTime: float | str | None = None
    endTime: float | str | None = None
    model: str | None = None
    model_group: str | None = None
    call_type: str | None = None
    custom_llm_provider: str | None = None
    api_base: str | None = None
    status: str | None = None
    stream: bool | None = None
    metadata: msgspec.Raw = _NOTHING
    requester_ip_address: str | int | None = None
    user_agent: str | int | None = None
    end_user: str | int | None = None
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    messages: msgspec.Raw = _NOTHING
    response: msgspec.Raw = _NOTHING
    model_parameters: msgspec.Raw = _NOTHING
    # LiteLLM_SpendLogs only:
    request_id: str | int | None = None
    user: str | int | None = None
    api_key: str | int | None = None
    team_id: str | int | None = None
    organization_id: str | int | None = None
    proxy_server_request: msgspec.Raw = _NOTHING


class _Known(NamedTuple):
    """What one key's metadata come to; the same from call to call."""

    user: str | None
    key: str | None
    org: str | None
    mail: Mail
    address: str | None
    agent: str | None
    end_user: str | None
    headers: str | None


_payload = msgspec.json.Decoder(Payload).decode
_metadata = msgspec.json.Decoder(Metadata).decode
_NOBODY: Final = _Known(None, None, None, (None, None, None), None, None, None, None)
_CACHE_BYTES: Final = 16 << 20
_WORDS: Final = ("model", "model_group", "call_type", "custom_llm_provider", "api_base", "status")
_NAMES: Final = ("id", "request_id", "requester_ip_address", "user_agent", "end_user", "user", "api_key", "team_id", "organization_id")
_COUNTS: Final = ("prompt_tokens", "completion_tokens")


class CallReader:
    """Turns logged lines into rows.  ``told`` gets a constant phrase for each thing that was mended or left out."""

    def __init__(self, identity: Identity, told: Callable[[str], None]) -> None:
        """Take the maker of references and the listener for repairs."""
        self._identity = identity
        self._told = told
        self._settings = SettingsReader()
        self._seen: dict[bytes, _Known] = {}
        self._held = 0

    def row(self, line: bytes) -> Row:
        """Return the row of one JSON object.  Raises RowError naming the field when the line cannot become a call."""
        try:
            return self._row(_payload(line))
        except (msgspec.DecodeError, UnicodeError, RecursionError):
            pass
        mended = mend(line, self._told)
        try:
            return self._row(_payload(mended))
        except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
            raise RowError("", _NOT_JSON, type(error).__name__) from None

    def _row(self, p: Payload) -> Row:
        identity = self._identity
        spend = p.id is None and p.request_id is not None
        call_id = word(p.request_id if spend else p.id)
        if call_id is None:
            raise RowError("request_id" if spend else "id", "missing")
        at = epoch(p.startTime, "startTime")
        known = self._known(bytes(p.metadata))
        account = known.user
        if account is None and spend:
            account = identity.account(word(p.user))
        if account is None:
            account = known.key or (identity.key_account(word(p.api_key)) if spend else None)
        if account is None:
            raise RowError("metadata.user_api_key_user_id", "missing, and no hash of an API key to stand in for it")
        raw = bytes(p.messages)
        settings_raw = bytes(p.model_parameters)
        if spend:
            raw, settings_raw = spendlogs.request(raw, settings_raw, bytes(p.proxy_server_request))
        settings = self._read_settings(settings_raw)
        roles, texts = self._read_messages(raw)
        if settings.system and "system" not in roles:
            roles.insert(0, "system")
            texts.insert(0, settings.system)
        agent = word(p.user_agent) or known.agent
        return Row(
            call_id,
            account,
            at,
            None if p.endTime is None else self._ended(p.endTime),
            word(p.model) or word(p.model_group),
            p.call_type or None,
            p.custom_llm_provider or _host(p.api_base),
            p.status or None,
            p.stream,
            identity.ref("org", known.org or ((word(p.organization_id) or word(p.team_id)) if spend else None)),
            *known.mail,
            *identity.address(word(p.requester_ip_address) or known.address),
            identity.ref("end-user", word(p.end_user) or known.end_user),
            agent[:_LONGEST_AGENT] if agent else None,
            known.headers,
            settings.params,
            settings.tools,
            tokens(p.prompt_tokens),
            tokens(p.completion_tokens),
            roles,
            texts,
            answers.answer(bytes(p.response)),
            answers.resent(raw),
        )

    def _known(self, raw: bytes) -> _Known:
        found = self._seen.get(raw)
        if found is None:
            found = self._learn(raw)
            if self._held > _CACHE_BYTES:
                self._seen.clear()
                self._held = 0
            self._seen[raw] = found
            self._held += len(raw) + 1000
        return found

    def _learn(self, raw: bytes) -> _Known:
        if not raw or raw == b"null":
            return _NOBODY
        if raw[:1] == b'"':
            try:
                meta = _metadata(mend(msgspec.json.decode(raw, type=str).encode(), self._told))
            except RowError:
                self._told("metadata: unreadable text")
                return _NOBODY
        else:
            meta = _metadata(raw)
        identity = self._identity
        headers = sorted(name.replace("\0", " ") for name in meta.requester_custom_headers or ())
        return _Known(
            user=identity.account(word(meta.user_api_key_user_id)),
            key=identity.key_account(word(meta.user_api_key_hash) or word(meta.user_api_key)),
            org=word(meta.user_api_key_org_id) or word(meta.user_api_key_team_id),
            mail=identity.mail(word(meta.user_api_key_user_email)),
            address=word(meta.requester_ip_address),
            agent=word(meta.user_agent),
            end_user=word(meta.user_api_key_end_user_id),
            headers=",".join(headers) or None,
        )

    def _ended(self, value: object) -> float | None:
        if value is None:
            return None
        try:
            return epoch(value, "endTime")
        except RowError:
            self._told("endTime: left out, not a time")
            return None

    def _read_settings(self, raw: bytes) -> Settings:
        try:
            return self._settings.read(raw)
        except RecursionError:
            self._told("model_parameters: nested too deeply")
            return NO_SETTINGS

    def _read_messages(self, raw: bytes) -> messages.Segments:
        try:
            return messages.read(raw, self._told)
        except RecursionError:
            self._told("messages: nested too deeply")
            return [], []


def _host(api_base: str | None) -> str | None:
    if not api_base:
        return None
    try:
        return urlsplit(api_base).hostname
    except ValueError:
        return None


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
    for name in Metadata.__struct_fields__[:-1]:
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
        raise RowError("", _NOT_JSON, where) from None
    except RecursionError:
        raise RowError("", "nested too deeply") from None
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
