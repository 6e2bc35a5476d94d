"""LiteLLM's ``StandardLoggingPayload``: one JSON object per call -> a row of ``records.CALLS``.

Only the fields named here are decoded.  The account is the owner of the authenticated key, never what a client
says of itself (``user``, ``end_user``).  A client may send anything, so what it controls is left out and counted when it cannot be used,
and does not send its call to quarantine.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, Final, NamedTuple
from urllib.parse import urlsplit

import msgspec

from stillwatch.watch.intake import answers, messages, passed, spendlogs
from stillwatch.watch.intake.clock import LATEST, epoch
from stillwatch.watch.intake.errors import RowError
from stillwatch.watch.intake.identity import Identity, Mail
from stillwatch.watch.intake.mending import NOT_JSON, mend, shallow
from stillwatch.watch.intake.parameters import Settings, SettingsReader
from stillwatch.watch.intake.rows import Row, tokens, word
from stillwatch.watch.intake.tally import Tally

_NOTHING: Final = msgspec.Raw(b"")
_LONGEST_AGENT: Final = 512
_NO_SETTINGS: Final = len(b"null")


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
#: Parts of the names of call types that look up, list or delete what an earlier call made.
_LOOK_UPS: Final = frozenset(("get", "list", "retrieve", "delete", "cancel", "count", "status"))
_CONTENTS: Final = frozenset(("file_content", "video_content", "list_input_items"))
_NAME_PARTS: Final = re.compile(r"[a-z0-9]+")


class _Spare(msgspec.Struct, gc=False):
    """Ids beside the one that is usually read."""

    litellm_call_id: str | int | None = None
    trace_id: str | int | None = None


_spare = msgspec.json.Decoder(_Spare).decode


class NotACall(Exception):
    """A line of a gateway's log that asks the model nothing."""


class CallReader:
    """Turns logged lines into rows.  ``told`` gets a constant phrase for each thing that was mended or left out; ``tally`` counts the calls."""

    def __init__(self, identity: Identity, told: Callable[[str], None], *, latest: float = LATEST, by_key: bool = False) -> None:
        """Take the maker of references and the listener for repairs.

        ``latest`` is the time (epoch seconds) from which on a call lies in the future; ``by_key`` makes the API key the account, whatever user it has.
        """
        self._identity = identity
        self._told = told
        self._latest = latest
        self._by_key = by_key
        self._settings = SettingsReader()
        self._seen: dict[bytes, _Known] = {}
        self._held = 0
        self._sorts: dict[str, bool] = {}
        self.tally = Tally()

    def row(self, line: bytes) -> Row:
        """Return the row of one JSON object.

        Raises RowError naming the field when the line cannot become a call, NotACall when it only looks something up.
        """
        try:
            return self._row(_payload(line), line)
        except RecursionError:
            line = self._flat(line)
        except (msgspec.DecodeError, UnicodeError):
            pass
        mended = mend(line, self._told)
        try:
            return self._row(_payload(mended), mended)
        except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
            raise RowError("", NOT_JSON, type(error).__name__) from None

    def _row(self, p: Payload, line: bytes) -> Row:
        identity = self._identity
        spend = p.id is None and p.request_id is not None
        call_id = word(p.request_id if spend else p.id) or self._other_id(line)
        if call_id is None:
            raise RowError("request_id" if spend else "id", "missing")
        at = epoch(p.startTime, "startTime", self._latest)
        known = self._known(bytes(p.metadata))
        key = known.key or (identity.key_account(word(p.api_key)) if spend else None)
        user = known.user or (identity.account(word(p.user)) if spend else None)
        account = (key or user) if self._by_key else (user or key)
        if account is None:
            raise RowError("metadata.user_api_key_user_id", "missing, and no hash of an API key to stand in for it")
        if p.call_type and not self._asks(p.call_type):
            raise NotACall
        raw = bytes(p.messages)
        settings_raw = bytes(p.model_parameters)
        if p.proxy_server_request:
            raw, settings_raw = spendlogs.request(raw, settings_raw, bytes(p.proxy_server_request))
        if passed.is_passed(p.call_type) and (whole := passed.request(raw)) is not None:
            raw, settings_raw = whole, settings_raw if len(settings_raw) > _NO_SETTINGS else whole
        settings = self._read_settings(settings_raw)
        roles, texts, missing = self._read_messages(raw)
        if settings.system and "system" not in roles:
            roles.insert(0, "system")
            texts.insert(0, settings.system)
            if len(roles) == 1:  # what the client asked is not there, only how it is to be answered
                roles.append("user")
                texts.append("")
        self.tally.calls += 1
        if missing is not None:
            self.tally.without[missing] += 1
        agent = word(p.user_agent) or known.agent
        address = word(p.requester_ip_address) or known.address
        if address is not None and "," in address:
            self.tally.chains += 1
        return Row(
            call_id,
            account,
            key,
            at,
            None if p.endTime is None else self._ended(p.endTime, at),
            word(p.model) or word(p.model_group),
            p.call_type or None,
            p.custom_llm_provider or _host(p.api_base),
            p.status or None,
            p.stream,
            identity.ref("org", known.org or ((word(p.organization_id) or word(p.team_id)) if spend else None)),
            *known.mail,
            identity.address(address),
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

    def _other_id(self, line: bytes) -> str | None:
        """Return another id of the call: what answered it may have given none, and no client may lose its calls that way."""
        spare = _spare(line)
        found = word(spare.litellm_call_id) or word(spare.trace_id)
        if found is not None:
            self._told("id: missing, the gateway's own id of the call taken instead")
        return found

    def _asks(self, call_type: str) -> bool:
        found = self._sorts.get(call_type)
        if found is None:
            parts = _NAME_PARTS.findall(call_type.lower())
            if parts and parts[0][:1] == "a" and parts[0][1:] in _LOOK_UPS:
                parts[0] = parts[0][1:]
            found = self._sorts[call_type] = _LOOK_UPS.isdisjoint(parts) and call_type.lower().removeprefix("a") not in _CONTENTS
        return found

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

    def _ended(self, value: object, at: float) -> float | None:
        try:
            ended = epoch(value, "endTime", self._latest)
        except RowError:
            self._told("endTime: left out, not a time")
            return None
        if ended < at:
            self._told("endTime: left out, before the start")
            return None
        return ended

    def _flat(self, raw: bytes) -> bytes:
        self._told("nested too deeply, the inner parts left out")
        return shallow(raw)

    def _read_settings(self, raw: bytes) -> Settings:
        try:
            return self._settings.read(raw)
        except RecursionError:
            return self._settings.read(self._flat(raw))

    def _read_messages(self, raw: bytes) -> messages.Prompt:
        try:
            return messages.read(raw, self._told)
        except RecursionError:
            return messages.read(self._flat(raw), self._told)


def _host(api_base: str | None) -> str | None:
    if not api_base:
        return None
    try:
        return urlsplit(api_base).hostname
    except ValueError:
        return None
