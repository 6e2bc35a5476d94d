"""The hub beside medallion, and the tokens beside libsodium's own speed.

    python -m benchmarks.hub load       POST 1,000 and 10,000 objects, first page and paged GET, against medallion 3.0.0
    python -m benchmarks.hub rate       signed objects in and out for a second of processor time, and whether it stays flat as the collection grows
    python -m benchmarks.hub wait       how long a small GET waits while batches of 8,192 blinded traits are taken in and opened
    python -m benchmarks.hub tokens     evaluate, blind, finalize, prove and verify, as ratios to libsodium's bare operations
    python -m benchmarks.hub timing     whether the time of a batch tells that its tags are there below quorum: 10,000 pairs

Processor times are of the server process (user and system), so that a busy neighbour disturbs little.
"""

from __future__ import annotations

import argparse
import json
import resource
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psutil
import requests

from stillwatch.share.tokens import oprf, sodium
from stillwatch.share.wire import stix as wire

TAXII = "application/taxii+json;version=2.1"
N = 2000
PATIENCE = 120  # seconds


def free_port() -> int:
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return int(s.getsockname()[1])


class Served:
    """A server process and what it used."""

    def __init__(self, command: list[str], url: str, ready: str, auth: Any) -> None:
        self.url, self.auth = url, auth
        self.process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        for _ in range(600):
            try:
                if requests.get(url + ready, auth=auth, headers={"Accept": TAXII}, timeout=2).status_code == 200:
                    return
            except requests.RequestException:
                time.sleep(0.1)
        raise SystemExit(f"{command}: did not start")

    def cpu(self) -> float:
        t = psutil.Process(self.process.pid)
        every = [t, *t.children(recursive=True)]
        return float(sum(sum(p.cpu_times()[:2]) for p in every))

    def measure(self, work: Callable[[], Any]) -> tuple[float, float, Any]:
        """(wall seconds, the server's processor seconds, what came back)."""
        cpu, wall = self.cpu(), time.perf_counter()
        out = work()
        return time.perf_counter() - wall, self.cpu() - cpu, out

    def stop(self) -> None:
        self.process.terminate()
        self.process.wait(30)


def ours(folder: Path) -> tuple[Served, str, Any]:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from tests.share.hub.samples import statements_of

    from stillwatch.share.hub.database import Database, open_database

    key = Ed25519PrivateKey.from_private_bytes(b"b" * 32)
    db = Database(open_database(f"sqlite:///{folder / 'hub.db'}"))
    with db.write() as c:
        ident = db.ensure_collection(c, "signals", "Signals", 1)
        db.enrol(c, "a", owner="a", role="security", token="t", public=key.public_key(), now=1)
        db.allow(c, "a", ident, can_read=True, can_write=True, now=1)
        db.state_persons(c, "a", statements_of(key), 1)
    db.close()
    port = free_port()
    command = [
        sys.executable,
        "-m",
        "stillwatch",
        "hub",
        "serve",
        "--db",
        str(folder / "hub.db"),
        "--port",
        str(port),
        "--quorum",
        "3",
        "--rate",
        "1e9",
        "--campaigns",
        "1000000",
        "--networks",
        "10000000",
        "--key",
        str(folder / "k"),
    ]
    return Served(command, f"http://127.0.0.1:{port}", "/hub/health", ("a", "t")), "/api/collections/signals", key


def medallion(folder: Path) -> tuple[Served, str]:
    ident = "91a7b528-80eb-42ed-a74d-c6fbd5a26116"
    collection = {
        "id": ident,
        "title": "Signals",
        "can_read": True,
        "can_write": True,
        "media_types": ["application/stix+json;version=2.1"],
    }
    data = {
        "/discovery": {"title": "x", "default": "http://127.0.0.1/api/", "api_roots": ["http://127.0.0.1/api/"]},
        "api": {
            "information": {"title": "x", "versions": [TAXII], "max_content_length": 10**9},
            "status": [],
            "collections": [{**collection, "objects": [], "manifest": []}],
        },
    }
    (folder / "data.json").write_text(json.dumps(data))
    config = {
        "backend": {"module": "medallion.backends.memory_backend", "module_class": "MemoryBackend", "filename": str(folder / "data.json")},
        "users": {"a": "t"},
        "taxii": {"max_page_size": 10_000},
    }
    (folder / "config.json").write_text(json.dumps(config))
    port = free_port()
    medal = str(Path(sys.executable).with_name("medallion"))
    return Served(
        [medal, "--port", str(port), str(folder / "config.json")], f"http://127.0.0.1:{port}", "/taxii2/", ("a", "t")
    ), f"/api/collections/{ident}"


def signed(count: int, key: Any, start: int = 0) -> list[dict[str, Any]]:
    """So many different signed campaigns and what belongs to them."""
    from tests.share.hub.samples import campaign_release, sealed

    member, out, n, today = wire.key_id(key.public_key()), [], start, datetime.now(UTC).date()
    while len(out) < count:
        out += sealed(wire.objects(campaign_release(member, n, networks=3, today=today)), key)
        n += 1
    return out[:count]


def post(s: Served, base: str, objects: list[dict[str, Any]], step: int = 1000) -> None:
    for i in range(0, len(objects), step):
        answer = requests.post(
            s.url + base + "/objects/",
            auth=s.auth,
            json={"objects": objects[i : i + step]},
            headers={"Content-Type": TAXII, "Accept": TAXII},
            timeout=PATIENCE,
        )
        assert answer.status_code == 202, answer.text[:300]


def page(s: Served, base: str, query: str = "", limit: int = 1000) -> Any:
    answer = requests.get(f"{s.url}{base}/objects/?limit={limit}{query}", auth=s.auth, headers={"Accept": TAXII}, timeout=PATIENCE)
    assert answer.status_code == 200, answer.text[:300]
    return answer.json()


def everything(s: Served, base: str, limit: int = 1000) -> int:
    got, query = 0, ""
    while True:
        told = page(s, base, query, limit)
        got += len(told.get("objects", ()))
        if not told.get("more"):
            return got
        query = f"&next={told['next']}"


def load() -> None:
    """The table of docs/benchmarks.md; whoever takes longer than two minutes for a step is stopped."""
    print("| what | ours, s | medallion, s | ratio (wall) | ratio (processor) |\n|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as one, tempfile.TemporaryDirectory() as two:
        mine, base, key = ours(Path(one))
        other, their_base = medallion(Path(two))
        try:
            objects = signed(10_000, key)
            for what, mine_do, their_do in (
                ("POST 1,000", lambda: post(mine, base, objects[:1000]), lambda: post(other, their_base, objects[:1000])),
                ("GET them in pages of 100", lambda: everything(mine, base, 100), lambda: everything(other, their_base, 100)),
                ("POST 9,000 more", lambda: post(mine, base, objects[1000:]), lambda: post(other, their_base, objects[1000:])),
                ("GET a first page of 1,000", lambda: page(mine, base), lambda: page(other, their_base)),
            ):
                a = mine.measure(mine_do)
                try:
                    b = other.measure(their_do)
                    print(f"| {what} | {a[0]:.2f} | {b[0]:.2f} | {b[0] / a[0]:.1f} | {b[1] / max(a[1], 0.01):.1f} |", flush=True)
                except requests.Timeout:
                    print(f"| {what} | {a[0]:.2f} | > {PATIENCE} | > {PATIENCE / a[0]:.0f} | |", flush=True)
                    break
        finally:
            mine.stop()
            other.process.kill()


def rate() -> None:
    """Objects for a second of the server's processor time, as the collection grows."""
    print("| objects there | in, objects/CPU-s | out, objects/CPU-s |\n|---|---|---|")
    with tempfile.TemporaryDirectory() as one:
        s, base, key = ours(Path(one))
        try:
            there = 0
            for grow in (5_000, 10_000, 20_000, 40_000):
                objects = signed(grow, key, there)
                _, cpu_in, _ = s.measure(lambda objects=objects: post(s, base, objects))
                there += grow
                _, cpu_out, got = s.measure(lambda: [len(page(s, base, "", 5000)["objects"]) for _ in range(20)])
                print(f"| {there:,} | {grow / cpu_in:,.0f} | {sum(got) / cpu_out:,.0f} |", flush=True)
        finally:
            s.stop()


def wait() -> None:
    """Milliseconds of GETs, one after the other, beside batches of three members that send the same traits; the first two lines are without any."""
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from tests.share.hub.conftest import Lab
    from tests.share.hub.test_tokens import batch

    from stillwatch.share.hub.database import Database, open_database

    values = [f"value {n}" for n in range(8192)]
    with tempfile.TemporaryDirectory() as one:
        labs = [Lab(f"w{n}", Ed25519PrivateKey.from_private_bytes(bytes([n + 1]) * 32), f"token {n}") for n in range(3)]
        s, _, _ = ours(Path(one))
        db = Database(open_database(f"sqlite:///{one}/hub.db"))
        with db.write() as c:
            for lab in labs:
                db.enrol(c, lab.name, owner=lab.name, role="security", token=lab.token, public=lab.key.public_key(), now=1)
        print("| GET | beside | GETs | median, ms | 99 in 100, ms | longest, ms |\n|---|---|---|---|---|---|")
        try:
            for beside in [None, *labs]:
                body = json.dumps(batch(beside, values, 3)) if beside else None
                done = threading.Event()

                def work(body: Any = body, lab: Any = beside, done: threading.Event = done) -> None:
                    if body is None:
                        time.sleep(3)
                    else:
                        answer = requests.post(f"{s.url}/hub/tokens/", data=body, headers=lab.headers, timeout=PATIENCE)
                        assert answer.status_code == 202, answer.text[:300]
                    done.set()

                for path in ("/hub/health/", "/hub/keys/") if beside is None else ("/hub/keys/",):
                    done.clear()
                    threading.Thread(target=work).start()
                    took = []
                    with requests.Session() as session:
                        while not done.is_set():
                            start = time.perf_counter()
                            assert session.get(s.url + path, auth=("w0", labs[0].token), timeout=PATIENCE).status_code == 200
                            took.append(1000 * (time.perf_counter() - start))
                            time.sleep(0.005)
                    took.sort()
                    shown = f"{took[len(took) // 2]:.1f} | {took[len(took) * 99 // 100]:.1f} | {took[-1]:.1f}"
                    print(f"| {path} | {beside.name if beside else 'nothing'} | {len(took)} | {shown} |", flush=True)
        finally:
            s.stop()


def tokens() -> None:
    """Microseconds an item, beside the bare operations of libsodium that the step cannot do without."""

    def each(work: Callable[[], object]) -> float:
        best = 1e9
        for _ in range(3):
            before = resource.getrusage(resource.RUSAGE_SELF).ru_utime
            work()
            best = min(best, resource.getrusage(resource.RUSAGE_SELF).ru_utime - before)
        return best / N * 1e6

    secret, public = oprf.derive_key(b"s" * 32, b"bench", oprf.VOPRF)
    items = [b"item %d" % i for i in range(N)]
    blinds, blinded = oprf.blind(items)
    evaluated = oprf.evaluate(secret, blinded)
    proof = oprf.prove(secret, public, blinded, evaluated)
    lib = sodium.library()
    import ctypes

    out = ctypes.create_string_buffer(32)
    rows = [blinded[i : i + 32] for i in range(0, len(blinded), 32)]
    wide = b"w" * 64

    def bare(times: int, hashes: int) -> Callable[[], None]:
        def run() -> None:
            for r in rows:
                for _ in range(times):
                    lib.crypto_scalarmult_ristretto255(out, secret, r)
                for _ in range(hashes):
                    lib.crypto_core_ristretto255_from_hash(out, wide)

        return run

    mult, hashed = each(bare(1, 0)), each(bare(1, 1))
    print("| step | us an item | bare libsodium, us | share of its speed |\n|---|---|---|---|")
    for what, work, floor in (
        ("evaluate", lambda: oprf.evaluate(secret, blinded), mult),
        ("blind", lambda: oprf.blind(items), hashed),
        ("finalize", lambda: oprf.finalize(items, blinds, evaluated), mult),
        ("prove", lambda: oprf.prove(secret, public, blinded, evaluated), mult),
        ("verify", lambda: oprf.verify(public, blinded, evaluated, proof), 2 * mult),
    ):
        took = each(work)
        print(f"| {what} | {took:.1f} | {floor:.1f} | {floor / took:.2f} |")


def timing(pairs: int = 10_000) -> None:
    """Time of a batch whose 64 tags another member has sent (half of them joined already, half not yet), against one of tags that nobody has.

    All that a POST does but HTTP: examined, then appended in a transaction of its own; in an order drawn for each pair.  SQLite in memory's file system where
    there is one, so that the disk hides nothing.
    """
    import gc
    import random
    from datetime import UTC, datetime

    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from prometheus_client import CollectorRegistry
    from scipy import stats

    import stillwatch.share.release as door
    from stillwatch.share.hub.database import DAY, Database, open_database
    from stillwatch.share.hub.quorum import Matching
    from stillwatch.share.tokens import seal

    start, kinds, seed = time.time(), 200, 20261127
    day = datetime.fromtimestamp(start, UTC).date()
    keys = {n: Ed25519PrivateKey.from_private_bytes(n.encode() * 32) for n in "ab"}

    def batch(name: str, some: list[door.Token]) -> Any:
        draft = door.Draft(door.Batch("payment", seal.epoch_of(day), 1, 0, len(some), 0), ledger="x")
        made = door.prepare(draft, door.Policy(wire.key_id(keys[name].public_key())), day, tokens=some)
        assert isinstance(made, door.Release), made
        return seal.sign_batch(made, keys[name], "00" * 32, 3)

    with tempfile.TemporaryDirectory(dir="/dev/shm" if Path("/dev/shm").is_dir() else None) as home:
        db = Database(open_database(f"{home}/hub.db"))
        with db.write() as c:
            ident = db.ensure_collection(c, "signals", "Signals", 1)
            for name, key in keys.items():
                db.enrol(c, name, owner=name, role="security", token=name, public=key.public_key(), now=1)
                db.allow(c, name, ident, can_read=True, can_write=True, now=1)
        now = int(start * 1e6)
        matching = Matching(db, quorum=3, a_day=10**12, every=86_400, registry=CollectorRegistry(), now=now)

        with db.read() as c:
            members = {name: m for name in keys if (m := db.member(c, name, int(start * 1e6))) is not None}

        def post(name: str, body: Any) -> float:
            member = members[name]
            begin = time.perf_counter()
            examined = matching.examine(body, member, day.isoformat())
            with db.write() as c:
                matching.take_in(c, examined, member, now)
            return time.perf_counter() - begin

        there, nowhere = ([seal.padding(0) for _ in range(kinds)] for _ in range(2))
        for n, some in enumerate(there):
            if n == kinds // 2:  # the first half of the victim's tags is joined, the second waits for the night
                matching.settle(now + DAY)
            post("b", batch("b", some))
        bodies = [[batch("a", some) for some in group] for group in (there, nowhere)]
        times: tuple[list[float], list[float]] = ([], [])
        rng = random.Random(seed)
        gc.disable()
        for n in range(pairs):
            for which in rng.sample((0, 1), 2):
                times[which].append(1e3 * post("a", bodies[which][n % kinds]))
            if n % 500 == 0:
                gc.collect()
        gc.enable()
        db.close()
    for name, x in zip(("there", "nowhere"), times, strict=True):
        q = [f"{stats.scoreatpercentile(x, p):.3f}" for p in (5, 25, 50, 75, 95)]
        print(f"{name:8} {len(x):,} batches; ms at 5, 25, 50, 75, 95 %: {', '.join(q)}")
    u = stats.mannwhitneyu(*times)
    print(f"Mann-Whitney p = {u.pvalue:.3f}; P(there slower) = {u.statistic / pairs**2:.4f} (0.5: tells nothing)")
    print(
        f"Welch's t-test p = {stats.ttest_ind(*times, equal_var=False).pvalue:.3f}; Wilcoxon, by pairs, p = {stats.wilcoxon(*times).pvalue:.3f}"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["load", "rate", "wait", "tokens", "timing"])
    {"load": load, "rate": rate, "wait": wait, "tokens": tokens, "timing": timing}[parser.parse_args().what]()


if __name__ == "__main__":
    main()
