"""Day by day equals the whole, whatever the days look like and however a run is broken off."""

from __future__ import annotations

import gzip
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.kit import QUIET
from typer.testing import CliRunner

from stillwatch.cli.main import app
from stillwatch.range import WorldSpec, build_world
from stillwatch.range.ring import Ring
from stillwatch.range.spec import Batch, Chat, Hackathon, Honest, Reseller
from stillwatch.store import StateError
from stillwatch.watch.flow import Progress, Settings, detect

NOW = 1.79e9
SPEC = WorldSpec(
    honest=Honest(
        chat=Chat(accounts=150, tail=2.0),
        batch=Batch(keys=3, calls=20),
        hackathon=Hackathon(people=8),
        reseller=Reseller(users=10),
        **QUIET,
    ),
    campaigns=(Ring(name="hydra", accounts=12, calls=10),),
)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("world")
    build_world(SPEC, seed=3, out=out)
    return out


@pytest.fixture(scope="module")
def lines(world: Path) -> list[bytes]:
    return gzip.open(world / "calls.jsonl.gz").read().splitlines(keepends=True)


@pytest.fixture(scope="module")
def key(world: Path) -> Path:
    detect(Settings([str(world / "calls.jsonl.gz")], world / "first", world / "accounts.csv", world / "key"), Progress(), now=NOW)
    return world / "key"


def answer(out: Path) -> tuple[str, list[dict[str, object]], list[dict[str, object]]]:
    attributed = pq.read_table(out / "attributed_calls.parquet").sort_by("call_id").to_pylist()
    accounts = pq.read_table(out / "accounts.parquet").sort_by([("campaign", "ascending"), ("account", "ascending")]).to_pylist()
    return (out / "campaigns.jsonl").read_text(), attributed, accounts


Run = Callable[..., tuple[str, list[dict[str, object]], list[dict[str, object]]]]


@pytest.fixture
def run(world: Path, key: Path, tmp_path: Path) -> Run:
    def go(log: Path, *, state: Path | None = None, window: float | None = None, out: Path = tmp_path / "out") -> object:
        detect(Settings([str(log)], out, world / "accounts.csv", key, state=state, window=window), Progress(), now=NOW)
        return answer(out)

    return go  # type: ignore[return-value]


@pytest.mark.slow
@pytest.mark.no_cover
@settings(max_examples=5)
@given(data=st.data(), window=st.none() | st.sampled_from([4.0, 9.5]))
def test_day_by_day_equals_the_whole(
    world: Path, lines: list[bytes], key: Path, tmp_path_factory: pytest.TempPathFactory, data: st.DataObject, window: float | None
) -> None:
    """Pieces may overlap, come out of time order, or hold nothing."""
    here = tmp_path_factory.mktemp("days")
    cuts = sorted(data.draw(st.lists(st.integers(0, len(lines)), min_size=1, max_size=3)))
    pieces = [lines[a:b] for a, b in zip([0, *cuts], [*cuts, len(lines)], strict=True)]
    again = data.draw(st.integers(0, 40))
    pieces[-1] = pieces[-1] + lines[:again]
    if window is None:  # with a window, what comes too late is rightly gone
        pieces = data.draw(st.permutations(pieces))
    for at, piece in enumerate(pieces):
        (here / f"day-{at}.jsonl").write_bytes(b"".join(piece))
        one = Settings([str(here / f"day-{at}.jsonl")], here / "out", world / "accounts.csv", key, state=here / "state", window=window)
        detect(one, Progress(), now=NOW)
    detect(Settings([str(here / "day-*.jsonl")], here / "whole", world / "accounts.csv", key, window=window), Progress(), now=NOW)
    assert answer(here / "out") == answer(here / "whole")


def test_a_file_that_was_read_is_not_read_again(lines: list[bytes], run: Run, tmp_path: Path) -> None:
    log, state = tmp_path / "log.jsonl", tmp_path / "state"
    log.write_bytes(b"".join(lines[:2000]) + b"{broken\n")
    os.utime(log, (NOW, NOW))
    first = run(log, state=state)
    assert run(log, state=state) == first
    notices = json.loads((tmp_path / "out" / "run.json").read_text())["notices"]
    assert any("not read again" in n["text"] for n in notices)
    parts = sorted(state.glob("part-*"))
    assert len(json.loads((parts[0] / "manifest.json").read_text())["sources"]) == 1
    assert sum(json.loads((p / "manifest.json").read_text())["calls"] for p in parts) == 2000
    assert "{broken" not in (parts[0] / "quarantine.jsonl").read_text()
    assert len((parts[0] / "quarantine.jsonl").read_text().splitlines()) == 1
    assert state.stat().st_mode & 0o077 == 0
    log.write_bytes(b"".join(lines))  # it grew
    whole = tmp_path / "whole.jsonl"
    whole.write_bytes(b"".join(lines))
    assert run(log, state=state) == run(whole, out=tmp_path / "whole")


def test_a_broken_off_run_leaves_the_state_as_it_was(world: Path, lines: list[bytes], key: Path, run: Run, tmp_path: Path) -> None:
    one, two, state = tmp_path / "1.jsonl", tmp_path / "2.jsonl", tmp_path / "state"
    one.write_bytes(b"".join(lines[:1500]))
    two.write_bytes(b"".join(lines[1500:]))
    run(one, state=state)

    def stop(_: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        detect(Settings([str(two)], tmp_path / "out", world / "accounts.csv", key, state=state), Progress(read=stop), now=NOW)
    assert len(list(state.glob("part-*"))) == 1
    assert not list(state.glob(".work-*"))
    assert run(two, state=state) == run(world / "calls.jsonl.gz", out=tmp_path / "whole")


@pytest.mark.no_cover
def test_kill_at_any_moment_loses_nothing_that_was_put_in_place(
    world: Path, lines: list[bytes], key: Path, run: Run, tmp_path: Path
) -> None:
    one, two, state = tmp_path / "1.jsonl", tmp_path / "2.jsonl", tmp_path / "state"
    one.write_bytes(b"".join(lines[:1500]))
    two.write_bytes(b"".join(lines[1500:]))
    run(one, state=state)
    command = [sys.executable, "-m", "stillwatch", "detect", str(two), "--accounts", str(world / "accounts.csv"), "--key", str(key), "--state", str(state),
               "--out", str(tmp_path / "out")]  # fmt: skip
    for moment in ("work", "part"):
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        wanted = {"work": lambda: list(state.glob(".work-*/part")), "part": lambda: len(list(state.glob("part-*"))) > 1}[moment]
        while process.poll() is None and not wanted():
            time.sleep(0.01)
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert run(two, state=state) == run(world / "calls.jsonl.gz", out=tmp_path / "whole")
    assert not list(state.glob(".work-*"))


def test_two_runs_on_one_state_are_refused(lines: list[bytes], run: Run, world: Path, key: Path, tmp_path: Path) -> None:
    log, state = tmp_path / "log.jsonl", tmp_path / "state"
    log.write_bytes(b"".join(lines[:500]))

    def second(_: int) -> None:
        with pytest.raises(StateError, match="another run"):
            run(log, state=state, out=tmp_path / "second")

    detect(Settings([str(log)], tmp_path / "out", world / "accounts.csv", key, state=state), Progress(read=second), now=NOW)


def test_another_key_recipe_or_a_damaged_part_is_refused_with_what_to_do(lines: list[bytes], run: Run, key: Path, tmp_path: Path) -> None:
    log, state = tmp_path / "log.jsonl", tmp_path / "state"
    log.write_bytes(b"".join(lines[:500]))
    run(log, state=state)
    done = CliRunner().invoke(app, ["detect", str(log), "--state", str(state), "--out", str(tmp_path / "out")])
    assert done.exit_code == 2
    assert "another identity key" in done.output
    manifest = next(state.glob("part-*")) / "manifest.json"
    good = manifest.read_text()
    manifest.write_text(good.replace("winnow-1", "winnow-0"))
    with pytest.raises(StateError, match="winnow-0"):
        run(log, state=state)
    manifest.write_text(good[:40])
    with pytest.raises(StateError, match="damaged"):
        run(log, state=state)
    manifest.write_text(good)
    words = ["detect", str(log), "--state", str(state), "--out", str(tmp_path / "out"), "--key", str(key)]
    for name, at in (("sketches.parquet", 0), ("sketches.parquet", 40), ("texts.parquet", 0)):
        file = manifest.with_name(name)
        whole = file.read_bytes()
        file.write_bytes(whole[:at] + b"\xff" * 400 + whole[at + 400 :] if at else whole[:100])
        done = CliRunner().invoke(app, words)
        assert done.exit_code == 2 and "is damaged" in done.output and "delete it and give its logs again" in done.output
        file.write_bytes(whole)


def test_what_is_older_than_the_window_is_forgotten(lines: list[bytes], run: Run, tmp_path: Path) -> None:
    state, third = tmp_path / "state", len(lines) // 3
    sizes = []
    for at in range(3):
        log = tmp_path / f"{at}.jsonl"
        log.write_bytes(b"".join(lines[at * third : (at + 1) * third]))
        run(log, state=state, window=3.0)
        sizes.append(len(list(state.glob("part-*"))))
    first = json.loads(lines[0])["startTime"]
    oldest = min(json.loads((p / "manifest.json").read_text())["last"] for p in state.glob("part-*"))
    assert oldest > first + 4 * 86400
    assert sizes[-1] <= 2


def test_parts_from_before_answers_were_sketched_are_gone_on_with(tmp_path: Path, lines: list[bytes], key: Path) -> None:
    days = [lines[: len(lines) // 2], lines[len(lines) // 2 :]]
    for day, some in enumerate(days):
        (tmp_path / f"{day}.jsonl").write_bytes(b"".join(some))

    def run(day: int) -> bytes:
        detect(Settings([str(tmp_path / f"{day}.jsonl")], tmp_path / "out", key=key, state=tmp_path / "state"), Progress(), now=NOW)
        return (tmp_path / "out" / "campaigns.jsonl").read_bytes()

    first = run(0)
    (part,) = (tmp_path / "state").glob("part-*")
    sketches = pq.read_table(part / "sketches.parquet")
    pq.write_table(sketches.drop_columns(["answer_prints", "resent_prints"]), part / "sketches.parquet")
    assert run(0) == first  # all parts lack the columns
    run(1)  # one of two does
    assert len(list((tmp_path / "state").glob("part-*"))) == 2
