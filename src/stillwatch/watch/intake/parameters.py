"""Settings of a request, as a client signature: sampling parameters and tool schemas in canonical JSON."""

from __future__ import annotations

import json
import re
from typing import Any, Final, NamedTuple

import msgspec

from stillwatch.watch.intake.messages import text_of

#: Settings whose values tell clients apart.
_VALUES: Final = frozenset(
    (  # noqa: SIM905 - a list literal would take thirty lines
        "temperature top_p top_k min_p typical_p max_tokens max_completion_tokens max_output_tokens max_tokens_to_sample n best_of "
        "presence_penalty frequency_penalty repetition_penalty logprobs top_logprobs echo reasoning_effort verbosity truncation store "
        "parallel_tool_calls service_tier modalities thinking reasoning stream_options candidate_count"
    ).split()
)
#: Settings of which only the sort is kept.
_SORTS: Final = frozenset(("response_format", "tool_choice", "function_call", "text", "text_format"))
#: The request itself, and whom it names: never a setting.
_ELSEWHERE: Final = frozenset(
    (  # noqa: SIM905 - as above
        "messages input prompt contents system instructions tools functions model stream user metadata litellm_metadata litellm_params "
        "litellm_call_id litellm_trace_id safety_identifier prompt_cache_key previous_response_id headers url method proxy_server_request "
        "systemInstruction system_instruction data endpoint inputText"
    ).split()
)
#: Where native requests keep their sampling settings, under camel-case names of their own.
_NESTED: Final = ("generationConfig", "generation_config", "inferenceConfig", "inference_config", "textGenerationConfig")
_RENAMED: Final = {"stop_sequences": "stop", "max_token_count": "max_tokens"}
_HUMP: Final = re.compile(r"(?<=[a-z0-9])([A-Z])")
_MOST_NAMES: Final = 64
_CACHE_BYTES: Final = 16 << 20


class Settings(NamedTuple):
    """``params`` and ``tools`` are canonical JSON, ``system`` an instruction that was given as a setting."""

    params: str | None
    tools: str | None
    system: str


NO_SETTINGS: Final = Settings(None, None, "")


class SettingsReader:
    """Reads settings; remembers what it has seen, as one client repeats them in every call.  Holds at most 16 MiB of them."""

    def __init__(self) -> None:
        self._known: dict[bytes, Settings] = {}
        self._held = 0

    def read(self, raw: bytes) -> Settings:
        """Return the settings in the undecoded JSON of an object (or of a string that holds one).

        Raises msgspec.DecodeError or UnicodeDecodeError for broken JSON.
        """
        found = self._known.get(raw)
        if found is None:
            value = msgspec.json.decode(raw) if raw else None
            if isinstance(value, str):
                try:
                    value = msgspec.json.decode(value)
                except (msgspec.DecodeError, RecursionError, UnicodeError):
                    value = None
            found = settings_of(value) if isinstance(value, dict) else NO_SETTINGS
            if self._held > _CACHE_BYTES:
                self._known.clear()
                self._held = 0
            self._known[raw] = found
            self._held += len(raw) + sum(len(f or "") for f in found) + 200
        return found


def settings_of(given: dict[str, Any]) -> Settings:
    """Return the settings of a decoded request: values of sampling settings, the number of stop texts, of everything else only the name.

    >>> settings_of({"top_p": 1.0, "seed": 7, "stop": ["a", "b"], "temperature": 0.7, "user": "jane"}).params
    '{"+":["seed"],"stop":2,"temperature":0.7,"top_p":1}'
    """
    if not given.keys().isdisjoint(_NESTED):
        given = _flat(given)
    kept: dict[str, Any] = {}
    names: list[str] = []
    for name, value in given.items():
        if name in _ELSEWHERE:
            continue
        if name in _VALUES:
            kept[name] = _plain(value)
        elif name in _SORTS:
            kept[name] = _sort(value)
        elif name == "stop":
            kept[name] = len(value) if isinstance(value, list) else None if value is None else 1
        else:
            names.append(name[:64])
    if names:
        kept["+"] = sorted(names)[:_MOST_NAMES]
    system = "\n".join(t for t in map(text_of, map(given.get, ("instructions", "system", "systemInstruction", "system_instruction"))) if t)
    return Settings(canonical(kept), _tools(given), system)


def _flat(given: dict[str, Any]) -> dict[str, Any]:
    """Bring nested settings up under the names that other requests have, so that one client is one client whichever way it asks."""
    out = {name: value for name, value in given.items() if name not in _NESTED}
    for group in _NESTED:
        nested = given.get(group)
        for name, value in nested.items() if isinstance(nested, dict) else ():
            plain = _HUMP.sub(lambda m: "_" + m[1].lower(), name)
            out.setdefault(_RENAMED.get(plain, plain), value)
    return out


def canonical(value: Any) -> str:
    """Return JSON with sorted keys and no spaces, in which a whole float is written as an integer."""
    return json.dumps(_whole(value), sort_keys=True, separators=(",", ":"), ensure_ascii=False).replace("\\u0000", " ")


def _whole(value: Any) -> Any:
    if isinstance(value, float) and value.is_integer() and abs(value) < 1e15:
        return int(value)
    if isinstance(value, dict):
        return {name: _whole(v) for name, v in value.items()}
    if isinstance(value, list):
        return [_whole(v) for v in value]
    return value


def _plain(value: Any, depth: int = 0) -> Any:
    """Keep numbers, short words and shallow groups of them; anything else could be a text."""
    if value is None or isinstance(value, int | float):
        return value
    if isinstance(value, str):
        return value if len(value) <= 32 else "…"
    if depth == 0 and isinstance(value, dict):
        return {name[:64]: _plain(v, 1) for name, v in list(value.items())[:_MOST_NAMES]}
    if depth == 0 and isinstance(value, list):
        return [_plain(v, 1) for v in value[:_MOST_NAMES]]
    return "…"


def _sort(value: Any) -> Any:
    if isinstance(value, dict):
        inner = value.get("type", value.get("format"))
        value = inner.get("type") if isinstance(inner, dict) else inner
    return value[:32] if isinstance(value, str) else None


def _tools(given: dict[str, Any]) -> str | None:
    found: list[list[Any]] = []
    config = given.get("toolConfig", given.get("tool_config"))
    for listed in (given.get("tools"), given.get("functions"), config.get("tools") if isinstance(config, dict) else None):
        for tool in listed if isinstance(listed, list) else []:
            if isinstance(tool, dict):
                declared = tool.get("functionDeclarations", tool.get("function_declarations"))
                found += [_tool(one) for one in (declared if isinstance(declared, list) else [tool]) if isinstance(one, dict)]
    made: dict[str, Any] = {}
    if found:
        made["tools"] = sorted(found, key=canonical)
    wanted = given.get("response_format")
    if not isinstance(wanted, dict) and isinstance(given.get("text"), dict):
        wanted = given["text"].get("format")
    shape = wanted.get("json_schema", wanted.get("schema")) if isinstance(wanted, dict) else None
    if shape is None:
        shape = next((given[n] for n in ("response_schema", "response_json_schema", "responseSchema") if given.get(n) is not None), None)
    if shape is not None:
        made["reply"] = shape
    return canonical(made) if made else None


def _tool(one: dict[str, Any]) -> list[Any]:
    """[name, schema] of a declared tool.  A tool that is neither named nor typed goes by its keys, so that different ones stay different."""
    inner = one.get("function", one.get("toolSpec", one))
    inner = inner if isinstance(inner, dict) else one
    schema = next(
        (inner[n] for n in ("parameters", "input_schema", "inputSchema", "parametersJsonSchema", "parameters_json_schema") if n in inner),
        None,
    )
    if isinstance(schema, dict) and schema.keys() == {"json"}:
        schema = schema["json"]
    label = inner.get("name", inner.get("type"))
    return [label if isinstance(label, str) else ",".join(sorted(inner))[:64], schema]
