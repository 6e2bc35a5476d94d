"""Write a world to disk: LiteLLM log, sign-up records, truth; one folder a lab."""

from __future__ import annotations

import csv
import gzip
import heapq
import io
import os
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial
from hashlib import blake2b
from multiprocessing import get_context
from pathlib import Path
from random import Random
from typing import Any, Final

import msgspec

from stillwatch.range.campaigns import campaigns
from stillwatch.range.honest import honest
from stillwatch.range.people import Account, Call, Place
from stillwatch.range.spec import WorldSpec
from stillwatch.range.talk import answer
from stillwatch.range.texts import Rng, clause

_ACCOUNT: Final = ("account", "created_at", "email", "payment_fingerprint", "country", "plan", "programme", "org", "verified")
_ENCODE: Final = msgspec.json.Encoder().encode
#: Calls that a piece of work should make; a constant, so that a world does not depend on how many processes make it.
_PIECE: Final = 40_000


@dataclass(slots=True)
class Summary:
    """What was written."""

    calls: int = 0
    accounts: int = 0
    ring_accounts: int = 0
    streams: Counter[str] = field(default_factory=Counter)


@dataclass(frozen=True, slots=True)
class _Piece:
    """Units ``first`` to ``last`` of one population."""

    population: int
    first: int
    last: int


def payload(call: Call, number: str, rng: Rng) -> tuple[str, bytes]:
    """(id, ``StandardLoggingPayload`` as JSON) with the fields that LiteLLM writes; a call without a reply of its own gets a few words."""
    who = call.account
    ident = f"chatcmpl-{blake2b(f'{who.account}/{call.at}/{number}'.encode(), digest_size=12).hexdigest()}"
    sent, got = sum(len(m["content"]) for m in call.messages) // 4, len(call.reply) // 4 or 20
    took = 0.4 + rng.expovariate(1 / 1.5)
    reply = call.reply or clause(rng)
    return ident, _ENCODE({
        "id": ident, "trace_id": ident, "call_type": "acompletion", "stream": call.stream == "chat", "response_cost": round(sent * 1e-6, 8),
        "status": "success", "custom_llm_provider": call.path, "total_tokens": sent + got, "prompt_tokens": sent, "completion_tokens": got,
        "startTime": round(call.at, 4), "endTime": round(call.at + took, 4), "completionStartTime": round(call.at + took / 2, 4), "response_time": round(took, 4),
        "model": call.model, "model_group": call.model, "api_base": "https://api.lab.example/v1",
        "metadata": {
            "user_api_key_hash": blake2b(who.account.encode(), digest_size=32).hexdigest(), "user_api_key_alias": None,
            "user_api_key_org_id": who.org or None, "user_api_key_team_id": who.org or None, "user_api_key_user_id": who.account,
            "user_api_key_user_email": who.email, "user_api_key_end_user_id": call.end_user, "requester_ip_address": call.address,
            "user_agent": call.agent or None, "requester_custom_headers": None, "spend_logs_metadata": None,
        },
        "cache_hit": False, "request_tags": [], "end_user": call.end_user, "requester_ip_address": call.address, "user_agent": call.agent or None,
        "messages": call.messages,
        "response": {"id": ident, "choices": [{"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": reply}}]},
        "error_str": None, "model_parameters": call.params,
    })  # fmt: skip


def complete(place: Place, call: Call, rng: Rng) -> None:
    """Add what the world's logs hold of every call: an answer with content, an organisation id for accounts that declared none."""
    spec, who = place.spec, call.account
    if spec.answers and not call.reply:
        # At temperature 0 the same question gets the same answer, whoever asks.
        same = call.params.get("temperature") == 0
        call.reply = answer(Random(str(call.messages)) if same else rng)
    if spec.organisations != "none" and not who.org:
        mark = blake2b(f"{place.seed}/{who.account}".encode(), digest_size=5, person=b"range-org").hexdigest()
        if spec.organisations == "all" or int(mark, 16) % 2:
            who.org = f"org-{mark}"


def line(call: Call, number: str, rng: Rng) -> bytes:
    """One row of a run file: time, id, account, stream and the log line, apart by tabs; rows sort by time and id as bytes."""
    ident, raw = payload(call, number, rng)
    return b"\t".join((f"{call.at:017.4f}".encode(), ident.encode(), call.account.account.encode(), call.stream.encode(), raw)) + b"\n"


def _pieces(place: Place) -> list[_Piece]:
    out = []
    for at, (_, units, each, _) in enumerate(honest(place) + campaigns(place)):
        step = max(1, int(_PIECE / max(1.0, each)))
        out += [_Piece(at, first, min(units, first + step)) for first in range(0, units, step)]
    return out


def _make(place: Place, path: Path, piece: _Piece) -> tuple[Path, int, list[Account], Counter[str]]:
    """Make one piece: a sorted run file and the accounts in it."""
    populations = honest(place) + campaigns(place)
    name, _, _, make = populations[piece.population]
    spec, ring = place.spec, name.startswith("campaign:")
    seed = f"{place.seed}/{name}" if ring else f"{place.seed}/{place.lab}/{name}"
    rows: list[bytes] = []
    accounts: dict[str, Account] = {}
    streams: Counter[str] = Counter()
    for index in range(piece.first, piece.last):
        if ring and index % spec.labs != place.lab:
            continue
        noise = Random(f"{seed}/noise/{index}")
        for at, call in enumerate(make(Random(seed), Random(f"{seed}/{index}"), index)):
            complete(place, call, noise)
            accounts.setdefault(call.account.account, call.account)
            streams[call.stream] += 1
            rows.append(line(call, f"{index}/{at}", noise))
    rows.sort()
    part = path / f".run-{piece.population:03d}-{piece.first:09d}.part"
    part.write_bytes(b"".join(rows))
    return part, len(rows), list(accounts.values()), streams


def build_world(
    spec: WorldSpec,
    *,
    seed: int,
    out: Path,
    processes: int | None = None,
    progress: Callable[[float], None] = lambda _: None,
) -> Summary:
    """Build a world; the same spec and seed give the same bytes, however many processes make them.

    Writes calls.jsonl.gz (time ordered), accounts.csv, truth_calls.csv.gz (id, account, stream) and truth_accounts.csv (account, cls, campaign, role);
    with several labs, these in lab-1, lab-2, ...  Pieces are sorted on disk and merged, so memory does not grow with the world.

    Args:
        processes: that make pieces; None takes one per core where the world is large.
        progress: told the share that is done, 0 to 1.
    """
    total = Summary()
    places = [Place(spec, seed, lab) for lab in range(spec.labs)]
    for lab, place in enumerate(places):
        folder = out if spec.labs == 1 else out / f"lab-{lab + 1}"
        folder.mkdir(parents=True, exist_ok=True)
        for left in folder.glob(".run-*.part"):
            left.unlink()
        _build(place, folder, processes, total, lambda share, lab=lab: progress((lab + share) / spec.labs))  # type: ignore[misc]
    return total


def _build(place: Place, folder: Path, processes: int | None, total: Summary, progress: Callable[[float], None]) -> None:
    pieces = _pieces(place)
    count = processes or (min(os.cpu_count() or 1, len(pieces)) if _size(place) > 2 * _PIECE else 1)
    runs: list[Path] = []
    accounts: dict[str, Account] = {}
    try:
        with ExitStack() as stack:
            make = partial(_make, place, folder)
            done: Iterable[tuple[Path, int, list[Account], Counter[str]]] = map(make, pieces)
            if count > 1:
                # Spawned, for a caller may hold threads that a fork would break.
                pool = stack.enter_context(ProcessPoolExecutor(count, get_context("spawn")))
                stack.callback(pool.shutdown, wait=True, cancel_futures=True)
                done = pool.map(make, pieces)
            for path, calls, people, streams in done:
                runs.append(path)
                total.calls += calls
                total.streams += streams
                for a in people:
                    accounts.setdefault(a.account, a)
                progress(0.8 * len(runs) / len(pieces))
        total.accounts += len(accounts)
        total.ring_accounts += sum(a.campaign != "" for a in accounts.values())
        with ExitStack() as stack:
            files = [stack.enter_context(r.open("rb")) for r in runs]
            write_calls(folder, heapq.merge(*files))
        write_accounts(folder, accounts.values())
        progress(1.0)
    finally:
        for left in folder.glob(".run-*.part"):
            left.unlink()


def _size(place: Place) -> float:
    return sum(units * each for _, units, each, _ in honest(place) + campaigns(place))


def _packed(path: Path) -> gzip.GzipFile:
    return gzip.GzipFile(path, "wb", compresslevel=1, mtime=0)  # no time of writing, so that equal worlds are equal bytes


def write_calls(folder: Path, rows: Iterable[bytes]) -> None:
    """Write sorted rows (see ``line``) as the log and its truth."""
    with _packed(folder / "calls.jsonl.gz") as log, _packed(folder / "truth_calls.csv.gz") as truth:
        truth.write(b"id,account,stream\n")
        for some in _blocks(rows):
            parts = [row.split(b"\t", 4) for row in some]
            log.write(b"".join([p[4] for p in parts]))
            truth.write(b"".join([b"%b,%b,%b\n" % (p[1], p[2], p[3]) for p in parts]))


def _blocks(rows: Iterable[bytes], size: int = 2000) -> Iterator[Sequence[bytes]]:
    block: list[bytes] = []
    for row in rows:
        block.append(row)
        if len(block) == size:
            yield block
            block = []
    yield block


def write_accounts(folder: Path, accounts: Iterable[Account]) -> None:
    """Write sign-up records and their truth."""
    ordered = sorted(accounts, key=lambda a: a.account)
    for name, header, row in (("accounts.csv", _ACCOUNT, _signup), ("truth_accounts.csv", ("account", "cls", "campaign", "role"), _truth)):
        text = io.StringIO(newline="")
        table = csv.writer(text)
        table.writerow(header)
        table.writerows(row(a) for a in ordered)
        (folder / name).write_text(text.getvalue(), newline="")


def _signup(a: Account) -> tuple[Any, ...]:
    return a.account, round(a.created_at, 3), a.email, a.payment_fingerprint, "", a.plan, a.programme, a.org, a.verified


def _truth(a: Account) -> tuple[Any, ...]:
    return a.account, a.cls, a.campaign, a.role
