"""Speed and size, as ratios against named baselines of the same run.

    python -m benchmarks.speed kernel            the text kernel against datasketch, rensa and a memory copy
    python -m benchmarks.speed end-to-end N ...  range worlds of about N calls: build, detect, peak memory, growth exponent
    python -m benchmarks.speed days DAYS CALLS WINDOW
                                                 detect --state day by day, CALLS a day: seconds and peak memory of a day

Seeds are fixed and printed.  Times are of this process's own processor time, so that a busy neighbour disturbs little.
"""

from __future__ import annotations

import argparse
import json
import math
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from random import Random

import numpy as np
import pyarrow as pa

from stillwatch.records import CALLS

SEED = 17


def best(run: Callable[[], object], times: int) -> float:
    """Least processor seconds of ``times`` runs."""
    took = []
    for _ in range(times):
        start = time.process_time()
        run()
        took.append(time.process_time() - start)
    return min(took)


def prompts(n: int) -> list[str]:
    """Range texts of mixed kinds, each about as long as a real prompt."""
    from stillwatch.range import texts

    rng, wrapper = Random(SEED), texts.harvest_template("D11", "speed", 0)
    return [wrapper.replace("{x}", " ".join(texts.task(rng, i) for _ in range(4))) for i in range(n)]


def kernel() -> None:
    """MB/s and texts/s of sketching on one core."""
    from datasketch import MinHash
    from rensa import RMinHash

    from stillwatch.watch.sketch import sketch_batch

    print(f"seed {SEED}")
    texts = prompts(20_000)
    size = sum(map(len, texts)) / 1e6
    rows = [{"call_id": str(i), "account": "a", "at": 0.0, "roles": ["user"], "segments": [t], "params": "{}"} for i, t in enumerate(texts)]
    batch = pa.RecordBatch.from_pylist(rows, schema=CALLS)
    data = np.frombuffer("".join(texts).encode(), np.uint8)
    sketch_batch(batch, 0)

    few = texts[:400]
    share = len(few) / len(texts)

    def shingles(text: str) -> list[str]:
        words = text.lower().split()
        return [" ".join(words[i : i + 6]) for i in range(len(words) - 5)]

    def with_datasketch() -> None:
        for t in few:
            m = MinHash(num_perm=128)
            m.update_batch([s.encode() for s in shingles(t)])

    def with_rensa() -> None:
        for t in few:
            m = RMinHash(num_perm=128, seed=SEED)
            m.update(shingles(t))

    ours = best(lambda: sketch_batch(batch, 0), 7)
    rivals = {"rensa (MinHash, 128)": best(with_rensa, 3) / share, "datasketch (MinHash, 128)": best(with_datasketch, 3) / share}
    copy = best(lambda: data.copy(), 20)
    print("| what | MB/s | texts/s | ratio to stillwatch |\n|---|---|---|---|")
    for name, took in {"memory copy": max(copy, 1e-6), "stillwatch sketch": ours, **rivals}.items():
        print(f"| {name} | {size / took:,.0f} | {len(texts) / took:,.0f} | {ours / took:.3g} |")


def intake(world: Path) -> None:
    """Calls/s of reading, and of reading and sketching, a LiteLLM log on one core."""
    from stillwatch.watch.intake import Identity, Quarantine, Reader
    from stillwatch.watch.sketch import sketch_batch

    log = world / "calls.jsonl.gz"

    def read(then: Callable[[pa.RecordBatch], object]) -> int:
        n = 0
        for b in Reader(Identity(bytes(32)), Quarantine(None)).read([log]):
            then(b)
            n += len(b)
        return n

    n = read(lambda b: sketch_batch(b, 0))
    for name, then in (("read", lambda b: None), ("read + sketch", lambda b: sketch_batch(b, 0))):
        took = best(lambda: read(then), 3)  # noqa: B023 - called at once
        print(f"| {name} | {n / took:,.0f} calls/s |")


def end_to_end(sizes: list[int]) -> None:
    """Each size in a process of its own, so that peak memory is its own."""
    print(f"seed {SEED}")
    points = []
    print("| calls | accounts | build s | detect s | peak MiB | rings found | outsiders' calls |\n|---|---|---|---|---|---|---|")
    for n in sizes:
        with tempfile.TemporaryDirectory() as folder:
            done = subprocess.run(
                [sys.executable, "-m", "benchmarks.speed", "one", str(n), folder], capture_output=True, text=True, check=True
            )
        r = json.loads(done.stdout.splitlines()[-1])
        points.append((r["calls"], r["detect"]))
        print(
            f"| {r['calls']:,} | {r['accounts']:,} | {r['build']:.1f} | {r['detect']:.1f} | {r['peak']:,.0f} | {r['found']} | {r['outside']} |",
            flush=True,
        )
    for (a, s), (b, t) in pairwise(points):
        print(f"growth from {a:,} to {b:,} calls: exponent {math.log(t / s) / math.log(b / a):.2f}")


def one(n: int, folder: Path) -> None:
    """Build and detect one world; prints a JSON line."""
    import csv
    import gzip

    import pyarrow.parquet as pq

    from stillwatch.watch.flow import Progress, Settings, detect

    start = time.perf_counter()
    if not (folder / "calls.jsonl.gz").exists():
        code = f"from pathlib import Path; from stillwatch.range import *; build_world(scaled_world({n}), seed={SEED}, out=Path({str(folder)!r}))"
        subprocess.run([sys.executable, "-c", code], check=True)
    build = time.perf_counter() - start
    start = time.perf_counter()
    progress = Progress()
    case = detect(Settings([str(folder / "calls.jsonl.gz")], folder / "found", folder / "accounts.csv"), progress, now=time.time())
    took = time.perf_counter() - start
    print(json.dumps(progress.timings), file=sys.stderr)
    streams = {r["id"]: r["stream"] for r in csv.DictReader(gzip.open(folder / "truth_calls.csv.gz", "rt"))}
    rows = pq.read_table(folder / "found" / "attributed_calls.parquet").to_pylist()
    rings = {s for s in streams.values() if s.startswith("hydra")}
    found = set()
    for c in case.campaigns:
        mine = [streams[r["call_id"]] for r in rows if r["campaign"] == c.id]
        top = max(set(mine), key=mine.count)
        if mine.count(top) >= len(mine) / 2:
            found.add(top)
    print(
        json.dumps(
            {
                "calls": case.run.calls,
                "accounts": case.run.accounts,
                "build": build,
                "detect": took,
                "peak": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
                "found": f"{len(found & rings)}/{len(rings)}",
                "outside": sum(not streams[r["call_id"]].startswith("hydra") for r in rows),
            }
        )
    )


def days(count: int, calls: int, window: float) -> None:
    """Seconds and peak memory of each tenth day; every day is a process of its own."""
    import gzip

    from msgspec import structs

    from stillwatch.range import build_world, scaled_world

    print(f"seed {SEED}, {calls:,} calls a day, window {window:g} days")
    print("| day | calls in the window | s | peak MiB | state MiB | campaigns |\n|---|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        build_world(structs.replace(scaled_world(count * calls), days=float(count)), seed=SEED, out=folder)
        begin = scaled_world(1).begin
        cut: dict[int, list[bytes]] = {}
        for line in gzip.open(folder / "calls.jsonl.gz"):
            at = float(line.partition(b'"startTime":')[2].partition(b",")[0])
            cut.setdefault(int((at - begin) // 86400), []).append(line)
        for day in range(count):
            (folder / "day.jsonl").write_bytes(b"".join(cut.pop(day, [])))
            code = (
                "import sys, json, time, resource; from pathlib import Path; from stillwatch.watch.flow import Progress, Settings, detect\n"
                f"f = Path({str(folder)!r}); t = time.perf_counter()\n"
                f"case = detect(Settings([str(f / 'day.jsonl')], f / 'out', f / 'accounts.csv', state=f / 'state', window={window}), Progress(), now=time.time())\n"
                "print(json.dumps([case.run.calls, time.perf_counter() - t, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, len(case.campaigns)]))"
            )
            done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
            held, took, peak, found = json.loads(done.stdout)
            size = sum(f.stat().st_size for f in (folder / "state").rglob("*") if f.is_file()) / 2**20
            if day == 0 or (day + 1) % 10 == 0:
                print(f"| {day + 1} | {held:,} | {took:.1f} | {peak:,.0f} | {size:,.0f} | {found} |", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["kernel", "intake", "end-to-end", "one", "days"])
    parser.add_argument("rest", nargs="*")
    given = parser.parse_args()
    if given.what == "kernel":
        kernel()
    elif given.what == "intake":
        intake(Path(given.rest[0]))
    elif given.what == "days":
        days(int(given.rest[0]), int(given.rest[1]), float(given.rest[2]))
    elif given.what == "one":
        one(int(given.rest[0]), Path(given.rest[1]))
    else:
        end_to_end([int(n) for n in given.rest] or [10_000, 100_000, 1_000_000])


if __name__ == "__main__":
    main()
