"""The whole story on one machine: labs, a hub and a key-holder as processes of their own, over loopback."""

from __future__ import annotations

import csv
import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import httpx2
import pyarrow.parquet as pq

from stillwatch.range import allied_world, build_world
from stillwatch.share.hub.client import HubClient

#: People who chat at each lab: enough for every null, few enough for a demonstration.
CUSTOMERS: Final = 400
#: Seconds from answers to answers; a real hub takes a day, so that nobody can try guesses.
EVERY: Final = 2


@dataclass(frozen=True, slots=True)
class Row:
    """One ring at one lab: its accounts, and how many of them were found alone and together."""

    ring: str
    lab: int
    accounts: int
    alone: int
    together: int


@dataclass(frozen=True, slots=True)
class Story:
    """What came of it."""

    rows: tuple[Row, ...]
    honest: int
    honest_touched: int
    report: Path


def _command(*words: str, cwd: Path) -> str:
    done = subprocess.run([sys.executable, "-m", "stillwatch", *words], cwd=cwd, capture_output=True, text=True, check=False)  # noqa: S603 - our own command
    if done.returncode != 0:
        raise RuntimeError(f"stillwatch {' '.join(words)}: {done.stderr.strip() or done.stdout.strip()}")
    return done.stdout.strip()


def _free_port() -> int:
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        port: int = s.getsockname()[1]
    return port


@contextmanager
def _served(words: list[str], port: int, health: str, cwd: Path) -> Iterator[str]:
    """A server as a process of its own; it ends with the block."""
    with (cwd / f"{words[0]}.log").open("w") as log:
        command = [sys.executable, "-m", "stillwatch", *words, "--port", str(port)]
        process = subprocess.Popen(command, cwd=cwd, stdout=log, stderr=log)  # noqa: S603 - our own command
        try:
            url = f"http://127.0.0.1:{port}"
            for _ in range(600):
                try:
                    if httpx2.get(url + health, timeout=2).status_code == 200:
                        break
                except httpx2.HTTPError:
                    time.sleep(0.1)
                if process.poll() is not None:
                    raise RuntimeError(f"stillwatch {' '.join(words)} did not start; see {log.name}")
            yield url
        finally:
            process.terminate()
            process.wait(60)


def play(out: Path, *, labs: int, seed: int, tell: Callable[[str], None]) -> Story:
    """Build a world of several labs, let each look alone, match blinded traits, let each look again.

    Args:
        out: folder for all of it.
        tell: gets a line before each step.
    """
    out.mkdir(parents=True, exist_ok=True)
    tell(
        f"Building a world of {labs} labs (seed {seed}); each has honest customers of its own, some of them customers of all, and a few accounts of two rings"
    )
    build_world(allied_world(labs, customers=CUSTOMERS), seed=seed, out=out / "world")
    names = [f"lab-{n + 1}" for n in range(labs)]
    terms = ["--quorum", str(min(labs, 3)), "--answer-every", str(EVERY)]
    with (
        _served(["hub", "serve", *terms], _free_port(), "/hub/health", out) as hub,
        _served(["key-holder", "serve"], _free_port(), "/health/", out) as holder,
        ThreadPoolExecutor(os.cpu_count()) as at_once,  # each command is a process of its own
    ):
        tell("A hub and a key-holder are running, each a process of its own")
        alone: dict[str, set[str]] = {}
        together: dict[str, set[str]] = {}

        def look(name: str) -> str:
            (out / name).mkdir(exist_ok=True)
            if not (out / name / "desk").exists():
                _command("release", "init", f"{name}/desk", cwd=out)
                key = _command("release", "key", "--desk", f"{name}/desk", cwd=out)
                _command("hub", "enrol", name, "--public-key", key, "--token-file", f"{name}/hub.token", cwd=out)
                _command("key-holder", "enrol", name, "--token-file", f"{name}/key-holder.token", cwd=out)
            _command("hub", "join", "--desk", f"{name}/desk", "--hub", hub, "--token-file", f"{name}/hub.token", cwd=out)
            keys = ("--key-holder", holder, "--key-holder-token", f"{name}/key-holder.token")
            return _command("pool", "send", *_log(name), "--out", f"{name}/alone", "--desk", f"{name}/desk", *keys, cwd=out)

        def again(name: str) -> str:
            return _command("pool", "look", *_log(name), "--out", f"{name}/together", "--desk", f"{name}/desk", cwd=out)

        for name, said in zip(names, at_once.map(look, names), strict=True):
            alone[name] = _flagged(out / name / "alone")
            tell(f"{name} looks alone: {len(alone[name])} accounts found. {said.splitlines()[-1]}")
        _await_answers(HubClient(hub, (out / names[0] / "hub.token").read_text().strip()))
        tell(f"The hub has joined what all of them sent, and answers all at once (here after {EVERY} s, else after the day)")
        for name, _ in zip(names, at_once.map(again, names), strict=True):
            together[name] = _flagged(out / name / "together")
            tell(f"{name} looks again with what the others share: {len(together[name])} accounts found")
    return _judged(out, names, alone, together)


def _await_answers(hub: HubClient) -> None:
    """Wait until answers are of a time after now, when everything was sent.

    Raises:
        RuntimeError: they do not come.
    """
    sent = time.time()
    for _ in range(600):
        if hub.terms()["until"] > sent:
            return
        time.sleep(EVERY / 4)
    raise RuntimeError("the hub's answers do not come; see hub.log")


def _log(name: str) -> list[str]:
    return [f"world/{name}/calls.jsonl.gz", "--accounts", f"world/{name}/accounts.csv"]


def _flagged(found: Path) -> set[str]:
    return set(pq.read_table(found / "accounts.parquet", columns=["account"]).column("account").to_pylist())


def _judged(out: Path, names: list[str], alone: dict[str, set[str]], together: dict[str, set[str]]) -> Story:
    rows, honest, touched = [], 0, 0
    for at, name in enumerate(names):
        with (out / "world" / name / "truth_accounts.csv").open(newline="") as f:
            truth = {r["account"]: r["campaign"] for r in csv.DictReader(f)}
        for ring in sorted({c for c in truth.values() if c}):
            mine = {a for a, c in truth.items() if c == ring}
            rows.append(Row(ring, at + 1, len(mine), len(mine & alone[name]), len(mine & together[name])))
        honest += sum(not c for c in truth.values())
        touched += sum(not truth[a] for a in alone[name] | together[name])
    (out / "story.json").write_text(json.dumps([{n: getattr(r, n) for n in Row.__slots__} for r in rows], indent=1), encoding="utf-8")
    return Story(tuple(rows), honest, touched, out / names[0] / "together" / "report.html")
