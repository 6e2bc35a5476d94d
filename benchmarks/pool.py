"""Alone and together: worlds of several labs, each with a hub and a key-holder on loopback.

python -m benchmarks.pool table [SEEDS]   recall alone and together, exchanges until found, honest accounts, bytes and processor time
python -m benchmarks.pool tokens N        N traits of one lab: blind, evaluate, prove, verify, seal, send; seconds for each step
"""

from __future__ import annotations

import argparse
import csv
import statistics
import tempfile
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx2
import pyarrow.parquet as pq
import uvicorn
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from stillwatch.range import allied_world, build_world
from stillwatch.share.desk.desk import Desk, make_desk
from stillwatch.share.hub.client import HubClient
from stillwatch.share.hub.database import Database, open_database
from stillwatch.share.hub.server import Hub, Limits
from stillwatch.share.keyholder.client import KeyHolderClient
from stillwatch.share.keyholder.server import KeyHolder
from stillwatch.share.net.access import new_token
from stillwatch.share.pool import exchange as pool
from stillwatch.share.tokens import seal
from stillwatch.watch.flow import Progress, Settings


def serve(app: Any) -> tuple[str, uvicorn.Server]:
    server = uvicorn.Server(uvicorn.Config(app, host="127.0.0.1", port=0, log_config=None, access_log=False))
    threading.Thread(target=server.run, daemon=True).start()
    while not server.started:
        time.sleep(0.01)
    return f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}", server


@dataclass
class Alliance:
    """Labs with desks, joined to one hub and one key-holder."""

    home: Path
    labs: int
    desks: list[Desk] = field(default_factory=list)
    hubs: list[HubClient] = field(default_factory=list)
    holders: list[KeyHolderClient] = field(default_factory=list)
    servers: list[uvicorn.Server] = field(default_factory=list)
    bytes: int = 0

    def __post_init__(self) -> None:
        db = Database(open_database(str(self.home / "hub.db")))
        limits = Limits(requests=1e6, burst=1e6, body=1 << 28, tokens_a_day=10**8, quorum=min(self.labs, 3), answer_every=1)
        self.hub = Hub(db, origin="hub.example/log", key=Ed25519PrivateKey.generate(), limits=limits)
        url, server = serve(self.hub.app())
        holder = KeyHolder(self.home / "kh", a_day=10**8)
        holder_url, other = serve(holder.app())
        self.servers = [server, other]
        for n in range(self.labs):
            desk, token = make_desk(self.home / f"desk-{n + 1}"), new_token()
            with db.write() as c:
                db.enrol(c, f"lab-{n + 1}", owner=f"lab-{n + 1}", role="security", token=token, public=desk.key.public_key(), now=1)
                ident = db.ensure_collection(c, "signals", "Signals", 1)
                db.allow(c, f"lab-{n + 1}", ident, can_read=True, can_write=True, now=1)
            holder.enrol(f"lab-{n + 1}", f"blind-{n + 1}")
            self.desks.append(desk)
            self.hubs.append(HubClient(url, token, self._counted()))
            self.holders.append(KeyHolderClient(holder_url, f"blind-{n + 1}", self._counted()))

    def _counted(self) -> httpx2.Client:
        """A client whose requests' and answers' bodies are counted."""

        def sent(request: httpx2.Request) -> None:
            self.bytes += len(request.read())

        def got(response: httpx2.Response) -> None:
            self.bytes += len(response.read())

        return httpx2.Client(timeout=600, event_hooks={"request": [sent], "response": [got]})

    def wait(self) -> None:
        """Until what was sent is answered; a real hub does so once a day."""
        time.sleep(1.1)
        self.hub.settle()

    def stop(self) -> None:
        for s in self.servers:
            s.should_exit = True


@dataclass
class Result:
    """One world."""

    rings: int = 0
    alone: int = 0
    together: int = 0
    alone_accounts: float = 0.0
    together_accounts: float = 0.0
    calls_alone: list[int] = field(default_factory=list)
    calls_together: list[int] = field(default_factory=list)
    honest: int = 0
    touched: int = 0
    multihoming: int = 0
    multihoming_touched: int = 0
    false_campaigns: int = 0
    tokens: int = 0
    bytes: float = 0.0
    cpu: float = 0.0


def judge(world: Path, found: Path, case: Any) -> tuple[dict[str, float], dict[str, int], int, int, int]:
    """(recall of each ring's accounts, its calls until found, honest accounts touched, multi-homing ones among them, false campaigns)."""
    truth = {r["account"]: (r["cls"], r["campaign"]) for r in csv.DictReader((world / "truth_accounts.csv").open())}
    rings = {c for _, c in truth.values() if c}
    flagged = pq.read_table(found / "accounts.parquet").to_pylist()
    mine = {r: {f["account"] for f in flagged if truth[f["account"]][1] == r} for r in rings}
    recall = {r: len(mine[r]) / sum(c == r for _, c in truth.values()) for r in rings}
    until, wrong = {}, 0
    for c in case.campaigns:
        names = [truth[s.account][1] for s in c.streams]
        top = max(set(names), key=names.count)
        wrong += not top
        if top and c.calls_until_found:
            until[top] = c.calls_until_found
    honest = [f["account"] for f in flagged if not truth[f["account"]][1]]
    return recall, until, len(honest), sum(truth[a][0] == "multihoming" for a in honest), wrong


def play(labs: int, seed: int) -> Result:
    r = Result()
    with tempfile.TemporaryDirectory() as name:
        home = Path(name)
        raw = allied_world(labs)
        build_world(raw, seed=seed, out=home / "world")
        alliance = Alliance(home, labs)
        worlds = [home / "world" / f"lab-{n + 1}" for n in range(labs)]
        settings = [Settings([str(w / "calls.jsonl.gz")], w / "found", w / "accounts.csv") for w in worlds]
        best: dict[str, list[float]] = {x.name: [0.0, 0.0] for x in raw.campaigns}
        cpu = time.process_time()
        for n in range(labs):
            sent = pool.send(settings[n], alliance.desks[n], alliance.hubs[n], [alliance.holders[n]], Progress(), time.time())
            r.tokens += sum(sent.traits.values())
            recall, until, *_ = judge(worlds[n], settings[n].out, sent.case)
            for ring, share in recall.items():
                best[ring][0] += share / labs
            r.calls_alone += list(until.values())
            r.alone += sum(s >= 0.5 for s in recall.values())
        alliance.wait()
        for n in range(labs):
            case, _ = pool.look_again(settings[n], alliance.desks[n], alliance.hubs[n], Progress(), time.time())
            recall, until, touched, multi, wrong = judge(worlds[n], settings[n].out, case)
            for ring, share in recall.items():
                best[ring][1] += share / labs
            r.calls_together += list(until.values())
            r.together += sum(s >= 0.5 for s in recall.values())
            r.touched, r.multihoming_touched, r.false_campaigns = (
                r.touched + touched,
                r.multihoming_touched + multi,
                r.false_campaigns + wrong,
            )
            truth = list(csv.DictReader((worlds[n] / "truth_accounts.csv").open()))
            r.honest += sum(not t["campaign"] for t in truth)
            r.multihoming += sum(t["cls"] == "multihoming" for t in truth)
        r.cpu = (time.process_time() - cpu) / labs
        r.bytes = alliance.bytes / labs
        r.rings = len(best) * labs
        r.alone_accounts = statistics.mean(b[0] for b in best.values())
        r.together_accounts = statistics.mean(b[1] for b in best.values())
        alliance.stop()
    return r


def table(seeds: int) -> None:
    print(f"seeds 1 to {seeds}")
    print(
        "| labs | rings found alone | together | account recall alone | together | exchanges until found, together | honest touched | multi-homing touched | false campaigns | traits a lab | kB a lab | CPU-s a lab |"
    )
    print("|---|---|---|---|---|---|---|---|---|---|---|---|")
    for labs in (3, 5, 10):
        results = [play(labs, s) for s in range(1, seeds + 1)]

        def spread(values: list[float]) -> str:
            return f"{statistics.mean(values):.2f} ({min(values):.2f} to {max(values):.2f})"

        until = [c for r in results for c in r.calls_together]
        print(
            f"| {labs} | {sum(r.alone for r in results)}/{sum(r.rings for r in results)} | {sum(r.together for r in results)}/{sum(r.rings for r in results)} "
            f"| {spread([r.alone_accounts for r in results])} | {spread([r.together_accounts for r in results])} "
            f"| {statistics.mean(until) if until else 0:.0f} (to {max(until, default=0)}) | {sum(r.touched for r in results)}/{sum(r.honest for r in results):,} "
            f"| {sum(r.multihoming_touched for r in results)}/{sum(r.multihoming for r in results):,} | {sum(r.false_campaigns for r in results)} "
            f"| {statistics.mean(r.tokens / labs for r in results):.0f} | {statistics.mean(r.bytes / 1000 for r in results):.0f} | {statistics.mean(r.cpu for r in results):.1f} |",
            flush=True,
        )


def tokens(n: int) -> None:
    """Seconds of each step for ``n`` traits of each of two labs that share half of them, over loopback."""
    from stillwatch.share.desk import sharing

    with tempfile.TemporaryDirectory() as name:
        alliance = Alliance(Path(name), 2)
        now, print_at = time.time(), time.perf_counter()
        for lab in range(2):
            desk = structs_replace(alliance.desks[lab], n)
            values = [f"value-{i + lab * n // 2:09d}" for i in range(n)]
            context = seal.Context(seal.SUSPICION, sharing.day_of(now), sharing.day_of(now))
            cpu, start = time.process_time(), time.perf_counter()
            told = sharing.contribute(desk, context, {"network": values}, n, alliance.hubs[lab], [alliance.holders[lab]], now)
            took = time.perf_counter() - start
            print(
                f"lab {lab + 1}: {n:,} traits in {took:.0f} s, {time.process_time() - cpu:.0f} s of the processor (lab, key-holder and hub together); {told}",
                flush=True,
            )
        start = time.perf_counter()
        alliance.wait()
        print(f"joined in {time.perf_counter() - start:.0f} s", flush=True)
        start = time.perf_counter()
        found = len(pool._answers(alliance.hubs[0]))
        print(f"{found:,} answers read in {time.perf_counter() - start:.0f} s; {time.perf_counter() - print_at:.0f} s in all")
        alliance.stop()


def structs_replace(desk: Desk, n: int) -> Desk:
    """The desk with a budget for the benchmark."""
    from dataclasses import replace

    from msgspec import structs

    return replace(desk, policy=structs.replace(desk.policy, token_budget_a_day=10 * n, token_cap=10 * n))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["table", "tokens"])
    parser.add_argument("n", nargs="?", type=int, default=5)
    args = parser.parse_args()
    if args.what == "table":
        table(args.n)
    else:
        tokens(args.n)


if __name__ == "__main__":
    main()
