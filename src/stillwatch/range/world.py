"""Write a world to disk: LiteLLM log, sign-up records, truth."""

from __future__ import annotations

import csv
import gzip
import heapq
import io
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path
from typing import Any, Final

import msgspec
import numpy as np

from stillwatch.range import people
from stillwatch.range.people import Account, Call, WorldSpec
from stillwatch.range.texts import Rng, clause

_ACCOUNT: Final = ("account", "created_at", "email", "payment_fingerprint", "country", "plan", "programme", "org", "verified")
_ENCODE: Final = msgspec.json.Encoder().encode


@dataclass(frozen=True, slots=True)
class Summary:
    """What was written."""

    calls: int
    accounts: int
    ring_accounts: int
    streams: dict[str, int]


def _populations(spec: WorldSpec) -> list[Callable[[Rng], Iterator[Call]]]:
    honest = (people.chat_users, people.company_batches, people.benchmark_runs, people.course, people.hackathon, people.reseller)
    makers: list[Callable[[Rng], Iterator[Call]]] = [lambda rng, make=make: make(rng, spec) for make in honest]  # type: ignore[misc]
    makers += [lambda rng, h=h: people.hydra(rng, spec, h) for h in spec.hydras]  # type: ignore[misc]
    return makers


def _payload(call: Call, number: int, rng: Rng) -> dict[str, Any]:
    """A ``StandardLoggingPayload`` with the fields that LiteLLM writes; the reply is a few words, for detection does not look at it."""
    who = call.account
    ident = f"chatcmpl-{blake2b(f'{who.account}/{call.at}/{number}'.encode(), digest_size=12).hexdigest()}"
    sent = sum(len(m["content"]) for m in call.messages) // 4
    took = 0.4 + float(rng.exponential(1.5))
    return {
        "id": ident, "trace_id": ident, "call_type": "acompletion", "stream": bool(call.stream == "chat"), "response_cost": round(sent * 1e-6, 8),
        "status": "success", "custom_llm_provider": "openai", "total_tokens": sent + 20, "prompt_tokens": sent, "completion_tokens": 20,
        "startTime": round(call.at, 4), "endTime": round(call.at + took, 4), "completionStartTime": round(call.at + took / 2, 4), "response_time": round(took, 4),
        "model": call.model, "model_group": call.model, "api_base": "https://api.lab.example/v1",
        "metadata": {
            "user_api_key_hash": blake2b(who.account.encode(), digest_size=32).hexdigest(), "user_api_key_alias": None,
            "user_api_key_org_id": who.org or None, "user_api_key_team_id": who.org or None, "user_api_key_user_id": who.account,
            "user_api_key_user_email": who.email, "user_api_key_end_user_id": call.end_user, "requester_ip_address": call.address, "user_agent": call.agent,
            "requester_custom_headers": None, "spend_logs_metadata": None,
        },
        "cache_hit": False, "request_tags": [], "end_user": call.end_user, "requester_ip_address": call.address, "user_agent": call.agent,
        "messages": call.messages,
        "response": {"id": ident, "choices": [{"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": clause(rng)}}]},
        "error_str": None, "model_parameters": call.params,
    }  # fmt: skip


def build_world(spec: WorldSpec, *, seed: int, out: Path, chunk: int = 100_000) -> Summary:
    """Build a world; the same spec and seed give the same bytes.

    Writes calls.jsonl.gz (time ordered), accounts.csv, truth_calls.csv.gz (id, account, stream) and truth_accounts.csv (account, cls, campaign, role).
    Lines are sorted in chunks on disk and merged, so memory does not grow with the world.
    """
    out.mkdir(parents=True, exist_ok=True)
    seeds = np.random.SeedSequence(seed).spawn(len(spec.hydras) + 7)
    accounts: dict[str, Account] = {}
    streams: Counter[str] = Counter()
    runs: list[Path] = []
    held: list[tuple[float, str, str, str, bytes]] = []
    noise = np.random.default_rng(seeds[0])
    total = 0

    def spill() -> None:
        held.sort(key=lambda r: r[:2])
        path = out / f".run-{len(runs)}.part"
        with path.open("wb") as file:
            for row in held:
                file.write(_ENCODE((*row[:4], msgspec.Raw(row[4]))) + b"\n")
        runs.append(path)
        held.clear()

    for make, child in zip(_populations(spec), seeds[1:], strict=True):
        for call in make(np.random.default_rng(child)):
            total += 1
            accounts.setdefault(call.account.account, call.account)
            streams[call.stream] += 1
            payload = _payload(call, total, noise)
            held.append((payload["startTime"], payload["id"], call.account.account, call.stream, _ENCODE(payload)))
            if len(held) >= chunk:
                spill()
    spill()
    _write(out, runs, accounts)
    return Summary(total, len(accounts), sum(a.campaign != "" for a in accounts.values()), dict(streams))


def _rows(path: Path) -> Iterator[tuple[float, str, str, str, bytes]]:
    decode = msgspec.json.Decoder(tuple[float, str, str, str, msgspec.Raw]).decode
    with path.open("rb") as file:
        for line in file:
            at, ident, account, stream, raw = decode(line)
            yield at, ident, account, stream, bytes(raw)


def _write(out: Path, runs: list[Path], accounts: dict[str, Account]) -> None:
    def packed(name: str) -> gzip.GzipFile:
        return gzip.GzipFile(out / name, "wb", compresslevel=1, mtime=0)  # no time of writing, so that equal worlds are equal bytes

    with packed("calls.jsonl.gz") as log, packed("truth_calls.csv.gz") as raw, io.TextIOWrapper(raw, newline="") as text:
        truth = csv.writer(text)
        truth.writerow(("id", "account", "stream"))
        for _, ident, account, stream, line in heapq.merge(*map(_rows, runs), key=lambda r: r[:2]):
            log.write(line + b"\n")
            truth.writerow((ident, account, stream))
    for path in runs:
        path.unlink()
    with (out / "accounts.csv").open("w", newline="") as file, (out / "truth_accounts.csv").open("w", newline="") as answer:
        signups, truths = csv.writer(file), csv.writer(answer)
        signups.writerow(_ACCOUNT)
        truths.writerow(("account", "cls", "campaign", "role"))
        for a in sorted(accounts.values(), key=lambda a: a.account):
            signups.writerow(
                (a.account, round(a.created_at, 3), a.email, a.payment_fingerprint, "", a.plan, a.programme, a.org, a.verified)
            )
            truths.writerow((a.account, a.cls, a.campaign, a.role))
