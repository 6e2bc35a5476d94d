"""What a state makes of files that grow, move and change, of clocks that jump, and of runs that are killed: each call counts once, and none is lost."""

from __future__ import annotations

import gzip
import json
import os
import shutil
from collections.abc import Callable
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.kit import Clock, at_once, every_break

from stillwatch.records import CALLS
from stillwatch.store import Source, Spool, StateError
from stillwatch.watch.campaign import DAY
from stillwatch.watch.detect.read import Progress, Settings, read
from stillwatch.watch.intake import IntakeError
from stillwatch.watch.sketch import RECIPE, sketch_batch

NOON = 1_790_000_000.0


def line(number: int, at: float) -> bytes:
    call = {
        "id": f"call-{number}",
        "startTime": at,
        "metadata": {"user_api_key_user_id": f"u{number % 7}"},
        "messages": f"question {number}",
    }
    return json.dumps(call).encode() + b"\n"


def day(number: int, calls: int = 5) -> bytes:
    """Lines of the day ``number`` days after NOON."""
    return b"".join(line(100 * number + i, NOON + number * DAY + i) for i in range(calls))


@dataclass
class Lab:
    """A folder of logs and a state."""

    here: Path
    clock: Clock = field(default_factory=lambda: Clock(NOON + 5 * DAY))

    @property
    def state(self) -> Path:
        return self.here / "state"

    def put(self, name: str, body: bytes, *, add: bool = False) -> Path:
        path = self.here / "logs" / name
        path.parent.mkdir(exist_ok=True)
        with path.open("ab" if add else "wb") as file:
            file.write(body)
        os.utime(path, (self.clock.now, self.clock.now))
        return path

    def run(self, logs: str = "logs/*", window: float | None = None) -> list[str]:
        """Ids of the calls that the run looks at."""
        (self.here / "out").mkdir(exist_ok=True)
        asked = Settings([str(self.here / logs)], self.here / "out", state=self.state, window=window)
        with ExitStack() as stack:
            done = read(asked, Progress(), stack, now=self.clock.now)
            self.notices = [n.text for n in done.notices]
            self.sources = done.view.sources
            ids = done.engine.fetch(done.calls.select("call_id")).column("call_id").to_pylist()
            if window is not None:
                done.spool.forget(window * DAY)
        return sorted(ids)

    def known(self) -> set[str]:
        """Names of the files that manifests name."""
        places = [*self.state.glob("part-*/manifest.json"), *self.state.glob("read-*.json")]
        return {Path(source["path"]).name for place in places for source in json.loads(place.read_text())["sources"]}

    def parts(self) -> list[str]:
        return sorted(p.name for p in self.state.glob("part-*"))


@pytest.fixture
def lab(tmp_path: Path) -> Lab:
    return Lab(tmp_path)


def ids(*bodies: bytes) -> list[str]:
    return sorted({json.loads(row)["id"] for body in bodies for row in body.splitlines()})


def test_a_call_of_the_far_future_moves_no_window_and_deletes_nothing(lab: Lab) -> None:
    """As an earlier version, which took such calls in, has left it behind."""
    for n in range(5):
        lab.put(f"{n}.jsonl", day(n))
        lab.clock.now = NOON + n * DAY + 100
        lab.run()
    batch = pa.RecordBatch.from_pylist([{"call_id": "x", "account": "u", "at": 3.98e9, "roles": ["user"], "segments": ["hello"]}], CALLS)
    key = json.loads((lab.state / "part-000001" / "manifest.json").read_text())["key"]
    with Spool(lab.here, now=lab.clock.now, state=lab.state, recipe=RECIPE, key=key) as spool:
        spool.add(batch, sketch_batch(batch, spool.next_call))
        spool.finish([Source("future.jsonl", 1, 0, "0" * 64, 1, 0)])
    assert lab.run(window=3.5) == ids(*map(day, (1, 2, 3, 4)))
    assert any("later than a day from now" in n for n in lab.notices)
    assert lab.parts() == [f"part-00000{n}" for n in (2, 3, 4, 5, 6)]  # the first day is older than the window by clock and log
    lab.clock.now = 3.99e9
    assert lab.run() == sorted([*ids(*map(day, (1, 2, 3, 4))), "x"])


@pytest.mark.parametrize("years", [-50, -1, 30])
def test_a_clock_that_jumps_deletes_nothing_that_is_in_the_window(lab: Lab, years: int) -> None:
    for n in range(3):
        lab.put(f"{n}.jsonl", day(n))
    lab.clock.on(2.1)
    assert lab.run(window=30) == ids(*map(day, range(3)))
    lab.clock.on(365 * years)
    with suppress(IntakeError):
        lab.run(window=3)
    assert lab.parts() == ["part-000001"]
    lab.clock.on(-365 * years)
    assert lab.run(window=30) == ids(*map(day, range(3)))


def test_what_was_read_by_a_clock_that_lagged_is_read_again_when_it_is_right(lab: Lab) -> None:
    body = day(0) + b"{broken\n"
    lab.put("0.jsonl", body)
    lab.clock.on(-4000)
    with suppress(IntakeError):
        lab.run()
    lab.clock.on(4000)
    assert lab.run() == ids(day(0))
    assert lab.run() == ids(day(0))
    assert len(lab.parts()) == 1
    assert len(lab.sources) == 1


def test_files_of_forgotten_parts_are_not_read_again(lab: Lab) -> None:
    for n in range(10):
        lab.clock.now = NOON + n * DAY + 100
        lab.put(f"{n}.jsonl", day(n))
        assert lab.run(window=3) == ids(*map(day, range(max(0, n - 2), n + 1)))
    assert len(lab.parts()) <= 4
    assert len(list(lab.state.glob("read-*.json"))) == 10 - len(lab.parts())
    lab.run(window=3)
    assert any("10 files were in the state already" in n for n in lab.notices)
    assert lab.parts()[-1] == "part-000010"


def test_a_state_whose_every_part_is_forgotten_goes_on(lab: Lab) -> None:
    lab.put("0.jsonl", day(0))
    lab.run(window=3)
    lab.put("20.jsonl", day(20))
    lab.clock.on(20.1)
    assert lab.run(window=3) == ids(day(20))
    for part in lab.parts():
        shutil.rmtree(lab.state / part)
    shutil.copy(next(lab.state.glob("read-*.json")), lab.state / "read-000009.json")
    assert lab.run("logs/0.jsonl", window=3) == []
    lab.put("21.jsonl", day(21))
    lab.clock.on(1)
    assert lab.run("logs/21.jsonl", window=3) == ids(day(21))
    assert lab.parts() == ["part-000010"]


def test_a_file_that_grew_counts_each_call_once(lab: Lab) -> None:
    lab.put("a.jsonl", day(0))
    lab.put("b.jsonl", day(1))
    lab.run()
    for n in (2, 3, 4):
        lab.put("b.jsonl", day(n), add=True)
        assert lab.run() == ids(*map(day, range(n + 1)))
        assert [s.calls for s in lab.sources] == [5, 5 * n]
        assert not any("repeat" in t for t in lab.notices)
    assert len(lab.parts()) == 2  # of b only the last reading is kept


def test_a_torn_last_line_counts_when_it_is_whole(lab: Lab) -> None:
    body = day(0)
    lab.put("a.jsonl", body[:-30])
    assert len(lab.run()) == 4
    lab.put("a.jsonl", body[-30:], add=True)
    assert lab.run() == ids(body)


def test_a_file_under_another_name_is_known_by_its_content(lab: Lab) -> None:
    path = lab.put("a.jsonl", day(0))
    lab.run()
    path.rename(path.with_name("a.jsonl.1"))  # rotated
    lab.put("a.jsonl", day(1))
    shutil.copy(path.with_name("a.jsonl.1"), path.with_name("copy.jsonl"))
    assert lab.run() == ids(day(0), day(1))
    assert [Path(s.path).name for s in lab.sources] == ["a.jsonl", "a.jsonl"]
    assert not any("repeat" in t for t in lab.notices)
    os.utime(path, (NOON + 5, NOON + 5))
    lab.run()
    assert len(lab.parts()) == 2


def test_a_file_that_grew_and_was_rotated_counts_once(lab: Lab) -> None:
    path = lab.put("a.jsonl", day(0))
    lab.run()
    lab.put("a.jsonl", day(1), add=True)
    path.rename(path.with_name("a.jsonl.1"))
    lab.put("a.jsonl", day(2))
    assert lab.run() == ids(*map(day, range(3)))
    assert not any("repeat" in t for t in lab.notices)


def test_a_file_that_changed_in_place_keeps_what_it_held(lab: Lab) -> None:
    lab.put("a.jsonl", day(0) + day(1))
    lab.run()
    lab.put("a.jsonl", day(1) + day(2) + day(3))
    assert lab.run() == ids(*map(day, range(4)))
    lab.put("a.jsonl", day(0)[:200])
    lab.run()
    assert lab.run() == ids(*map(day, range(4)))


def test_a_grown_file_that_cannot_be_read_to_its_old_end_does_not_take_the_earlier_readings_place(lab: Lab) -> None:
    whole = gzip.compress(day(0))
    lab.put("a.jsonl.gz", whole)
    lab.run()
    lab.put("a.jsonl.gz", b"\0garbage", add=True)
    assert lab.run() == ids(day(0))


def test_a_state_of_the_first_version_is_gone_on_with_and_one_of_a_newer_is_refused(lab: Lab) -> None:
    lab.put("a.jsonl", day(0))
    lab.run()
    place = lab.state / "part-000001" / "manifest.json"
    now = json.loads(place.read_text())
    first = {k: v for k, v in now.items() if k not in ("version", "read")} | {
        "sources": [{k: v for k, v in s.items() if k != "again"} for s in now["sources"]]
    }
    place.write_text(json.dumps(first))
    lab.put("a.jsonl", day(1), add=True)
    assert lab.run() == ids(day(0), day(1))
    place = next(lab.state.glob("part-*")) / "manifest.json"
    place.write_text(json.dumps(now | {"version": 9}))
    with pytest.raises(StateError, match="newer Stillwatch"):
        lab.run()
    place.write_text(json.dumps(now))
    (lab.state / "read-000001.json").write_text("{")
    with pytest.raises(StateError, match=r"read-000001\.json.*damaged"):
        lab.run()


def test_texts_of_killed_runs_go_when_the_next_run_starts_and_those_of_live_runs_stay(tmp_path: Path) -> None:
    old = tmp_path / ".work-old" / "part"  # an earlier version's, which has no lock in it
    old.mkdir(parents=True)
    (old / "texts.parquet").write_text("secret")
    with Spool(tmp_path, now=NOON) as live:
        assert [p.name for p in tmp_path.glob(".work-*")] == [live.folder.name]
        child = os.fork()
        if child == 0:  # killed while it reads
            Spool(tmp_path, now=NOON)
            os.kill(os.getpid(), 9)
        os.waitpid(child, 0)
        assert len(list(tmp_path.glob(".work-*"))) == 2
        with Spool(tmp_path, now=NOON) as second:
            assert {p.name for p in tmp_path.glob(".work-*")} == {live.folder.name, second.folder.name}
            assert second.folder.stat().st_mode & 0o077 == 0
        assert live.folder.is_dir()
    assert not list(tmp_path.glob(".work-*"))


@pytest.mark.slow
def test_a_run_killed_after_any_write_loses_nothing_and_doubles_nothing(tmp_path: Path) -> None:
    """The run reads a new and a grown file, and forgets what is old."""
    start = Lab(tmp_path / "start")
    start.here.mkdir()
    start.put("old.jsonl", day(0))
    start.run(window=5)
    start.put("a.jsonl", day(1))
    start.run(window=5)
    start.clock.on(8)
    start.put("a.jsonl", day(7), add=True)
    start.put("b.jsonl", day(8))

    def fresh(name: str) -> Lab:
        copy = Lab(tmp_path / name, Clock(start.clock.now))
        shutil.copytree(start.here, copy.here)
        text = {p: p.read_text().replace(str(start.here), str(copy.here)) for p in copy.state.glob("*/manifest.json")}
        for path, body in text.items():
            path.write_text(body)
        return copy

    wanted = fresh("unbroken").run(window=5)
    assert wanted == ids(day(7), day(8))

    def work(n: int) -> Callable[[], object]:
        copy = fresh(f"broken-{n}")
        return lambda: copy.run(window=5)

    for n in every_break(work):
        left = Lab(tmp_path / f"broken-{n}", Clock(start.clock.now))
        assert {"old.jsonl", "a.jsonl"} <= left.known(), f"broken after write {n}"
        assert left.run(window=5) == wanted, f"broken after write {n}"
        assert not list(left.state.glob(".work-*"))
        assert len(left.parts()) == 1
        assert not list(left.here.glob("state/.*.part"))


def test_of_two_runs_at_once_on_one_state_one_is_refused_and_nothing_is_doubled(lab: Lab) -> None:
    for n in range(20):
        lab.put(f"{n}.jsonl", day(n, 50))
    lab.clock.on(20)
    said = at_once([lab.run] * 3)
    assert all(s == ids(*(day(n, 50) for n in range(20))) or "another run is" in s for s in said)  # at the results or at the state
    assert any(isinstance(s, list) for s in said)
    assert lab.run() == ids(*(day(n, 50) for n in range(20)))
    assert len(lab.parts()) == 1


@settings(max_examples=12)
@given(data=st.data())
def test_whatever_becomes_of_files_and_clock_each_call_counts_once(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    lab = Lab(tmp_path_factory.mktemp("lab"))
    written: list[bytes] = []
    for step in range(data.draw(st.integers(2, 5))):
        what = data.draw(st.sampled_from(["new", "grow", "rotate", "touch", "copy"]))
        files = sorted((lab.here / "logs").glob("*"))
        body = day(0, 3).replace(b"call-", b"call-%d-" % step)
        if what == "new" or not files:
            lab.put(f"{step}.jsonl", body)
            written.append(body)
        else:
            file = data.draw(st.sampled_from(files))
            if what == "grow":
                lab.put(file.name, body, add=True)
                written.append(body)
            elif what == "rotate":
                file.rename(file.with_name(f"rotated-{step}.jsonl"))
            elif what == "touch":
                os.utime(file, (NOON + step, NOON + step))
            else:
                shutil.copy(file, file.with_name(f"copy-{step}.jsonl"))
        if data.draw(st.booleans()):
            jump = data.draw(st.sampled_from([0.0, 0.0, -3000.0, 3000.0]))
            lab.clock.on(jump)
            with suppress(IntakeError):
                lab.run(window=data.draw(st.sampled_from([None, 3.0])) if jump == 0 else None)
            lab.clock.on(-jump)
    assert lab.run() == ids(*written)
