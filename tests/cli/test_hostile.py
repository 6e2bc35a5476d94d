"""Bad places, full disks, Ctrl-C at any moment, two runs at once, hostile ids: one line, a code of the table, nothing partial left."""

from __future__ import annotations

import ast
import errno
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from rich.console import Console
from tests.kit import few_customers
from typer.testing import CliRunner

from stillwatch.cli import codes
from stillwatch.cli.main import app
from stillwatch.foreign import shown
from stillwatch.range import build_world
from stillwatch.store import BusyError, Spool, alone_in, write_atomically, write_together

SOURCES = Path(__file__).parents[2] / "src" / "stillwatch"


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("world")
    build_world(few_customers(), seed=11, out=out)
    return out


def words(world: Path, out: Path) -> list[str]:
    return ["detect", str(world / "calls.jsonl.gz"), "--accounts", str(world / "accounts.csv"), "--out", str(out)]


def one_line(text: str) -> None:
    assert re.fullmatch(r"[^\n]+\n", text), text
    assert "Traceback" not in text


def nothing_partial(folder: Path) -> None:
    assert {p.name for p in folder.rglob("*")} <= {"identity.key"}


def python(script: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", script, *arguments], capture_output=True, text=True, check=False, timeout=300)


def test_an_empty_name_is_not_the_folder_where_one_is(world: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    log = str(world / "calls.jsonl.gz")
    for asked in (
        ["detect", log, "--out", ""],
        ["detect", log, "--out", "x", "--state", ""],
        ["detect", "", "--out", "x"],
        ["demo", "--out="],
    ):
        done = CliRunner().invoke(app, asked)
        assert done.exit_code == codes.UNUSABLE and "an empty name" in done.stderr
        one_line(done.stderr)
    nothing_partial(tmp_path / "x")
    assert {p.name for p in tmp_path.iterdir()} <= {"x"}


def stops(script: str, world: Path, out: Path) -> None:
    """A run in which the script presses Ctrl-C ends with one line, and leaves nothing."""
    done = python(script, *words(world, out))
    assert done.returncode == codes.STOPPED, done.stderr
    one_line(done.stderr)
    nothing_partial(out)


def test_bad_places_for_results(world: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    for out in (tmp_path / "file", tmp_path / "file" / "below", Path("/proc/stillwatch/found")):
        done = CliRunner().invoke(app, words(world, out))
        assert done.exit_code == codes.UNUSABLE
        one_line(done.stderr)
        assert str(out)[:14] in done.stderr
    assert (tmp_path / "file").read_text() == "mine"


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_that_may_not_be_written(world: Path, tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    done = CliRunner().invoke(app, words(world, tmp_path / "found"))
    tmp_path.chmod(0o700)
    assert done.exit_code == codes.UNUSABLE
    one_line(done.stderr)


def test_a_disk_that_fills_up_while_results_are_written(world: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "report.html").write_text("old")

    def full(table: Any, where: Path, **_: Any) -> None:
        where.write_bytes(b"half")
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(pq, "write_table", full)
    done = CliRunner().invoke(app, words(world, tmp_path))
    assert done.exit_code == codes.UNUSABLE
    one_line(done.stderr)
    assert f"{tmp_path}: the disk is full" in done.stderr
    assert {p.name for p in tmp_path.iterdir()} == {"case.db", "identity.key", "report.html"}  # campaigns are named before they are written
    assert (tmp_path / "report.html").read_text() == "old"


def test_files_that_may_not_grow(world: Path, tmp_path: Path) -> None:
    script = (
        "import resource, sys; resource.setrlimit(resource.RLIMIT_FSIZE, (300_000, 300_000)); from stillwatch.__main__ import main; main()"
    )
    done = python(script, *words(world, tmp_path / "found"))
    assert done.returncode == codes.UNUSABLE
    one_line(done.stderr)
    nothing_partial(tmp_path / "found")


@pytest.fixture
def tiny_disk(tmp_path: Path) -> Iterator[Path]:
    disk = tmp_path / "disk"
    disk.mkdir()
    try:
        mounted = (
            subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "none", str(disk)], capture_output=True, check=False).returncode == 0
        )
    except FileNotFoundError:
        mounted = False
    if not mounted:
        pytest.skip("a small disk cannot be mounted here")
    yield disk
    subprocess.run(["umount", str(disk)], check=True)


def test_a_disk_of_one_megabyte(world: Path, tiny_disk: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "stillwatch", *words(world, tiny_disk / "found")], capture_output=True, text=True, check=False
    )
    assert done.returncode == codes.UNUSABLE
    one_line(done.stderr)
    assert "the disk is full" in done.stderr
    nothing_partial(tiny_disk / "found")


PRESS = """
import os, signal, sys
wanted = sys.argv.pop(1)
class Press:
    def find_spec(self, name, path=None, target=None):
        if name == wanted:
            os.kill(os.getpid(), signal.SIGINT)
sys.meta_path.insert(0, Press())
from stillwatch.__main__ import main
main()
"""


@pytest.mark.parametrize(
    "module",
    ["stillwatch.cli.main", "typer", "rich.console", "numpy", "pyarrow", "duckdb", "scipy.special", "numba.core", "stillwatch.watch.flow"],
)
def test_ctrl_c_while_modules_are_loading(module: str, world: Path, tmp_path: Path) -> None:
    done = python(PRESS, module, *words(world, tmp_path / "found"))
    assert done.returncode == codes.STOPPED, done.stderr
    one_line(done.stderr)
    assert not (tmp_path / "found").exists()


IN_A_QUERY = """
import os, signal, sys, threading
import narwhals as nw
from stillwatch.__main__ import main
from stillwatch.store import Engine
fetch = Engine.fetch
def long(self, frame):
    threading.Timer(1, os.kill, (os.getpid(), signal.SIGINT)).start()
    return fetch(self, nw.from_native(self._db.sql("SELECT sum(hash(range)) AS n FROM range(1000000000000)")).lazy())
Engine.fetch = long
main()
"""


def test_ctrl_c_while_duckdb_runs_a_query(world: Path, tmp_path: Path) -> None:
    stops(IN_A_QUERY, world, tmp_path / "found")


TWICE = """
import os, signal, sys
from stillwatch.__main__ import main
from stillwatch.watch.intake import Quarantine
left = Quarantine._drop
def press(self):
    os.kill(os.getpid(), signal.SIGINT)  # while it cleans up
    left(self)
Quarantine._drop = press
import stillwatch.watch.detect.read as stage
def press_first(*_):
    os.kill(os.getpid(), signal.SIGINT)
stage.sketch_batch = press_first
main()
"""


def test_a_second_ctrl_c_does_not_break_the_cleaning_up(world: Path, tmp_path: Path) -> None:
    stops(TWICE, world, tmp_path / "found")


def test_the_second_run_into_a_folder_is_refused(world: Path, tmp_path: Path) -> None:
    with alone_in(tmp_path):
        done = CliRunner().invoke(app, words(world, tmp_path))
        with pytest.raises(BusyError), alone_in(tmp_path):
            pass
    assert done.exit_code == codes.UNUSABLE
    one_line(done.stderr)
    assert "another run is writing there" in done.stderr
    assert not list(tmp_path.iterdir())


def test_drafts_of_a_killed_run_go_away_and_nothing_else(tmp_path: Path) -> None:
    for name in (".report.html.abcd1234.part", "quarantine.jsonl.partial", "mine.part", "mine.partial"):
        (tmp_path / name).write_text("")
    with alone_in(tmp_path):
        assert {p.name for p in tmp_path.iterdir()} == {"mine.part", "mine.partial"}


def test_two_writers_of_one_file_never_meet(tmp_path: Path) -> None:
    def write(part: Path) -> None:
        write_atomically(tmp_path / "x", lambda inner: inner.write_text("inner"))
        part.write_text("outer")

    write_atomically(tmp_path / "x", write)
    assert (tmp_path / "x").read_text() == "outer"
    assert [p.name for p in tmp_path.iterdir()] == ["x"]
    assert (tmp_path / "x").stat().st_mode & 0o777 == 0o600


def test_files_that_belong_together_are_put_in_place_together(tmp_path: Path) -> None:
    def fail(part: Path) -> None:
        raise OSError(errno.ENOSPC, "full")

    with pytest.raises(OSError):
        write_together({tmp_path / "a": lambda p: p.write_text("a"), tmp_path / "b": fail})
    assert not list(tmp_path.iterdir())


AT_THE_END = """
import os, signal, sys
from stillwatch.__main__ import main
import stillwatch.watch.detect.tell as stage
put = stage.write_together
def press(files):
    os.kill(os.getpid(), signal.SIGINT)
    put(files)
stage.write_together = press
main()
"""


def test_ctrl_c_while_results_are_put_in_place_waits_for_all_of_them(world: Path, tmp_path: Path) -> None:
    out = tmp_path / "found"
    out.mkdir()
    for name in ("run.json", "quarantine.jsonl"):
        (out / name).write_text("old")
    done = python(AT_THE_END, *words(world, out))
    assert done.returncode == codes.STOPPED, done.stderr
    assert done.stderr == "Stopped; the results of this run are in place.\n"
    assert json.loads((out / "run.json").read_text())["rejected"] == len((out / "quarantine.jsonl").read_text().splitlines())
    assert not [p for p in out.iterdir() if p.name.startswith(".work")]


SWALLOWED = """
import os, signal, sys
from stillwatch.__main__ import main
import stillwatch.watch.detect.read as stage
def press(*_):
    try:
        os.kill(os.getpid(), signal.SIGINT)
    except KeyboardInterrupt:
        pass  # as a library's callback does
    return sketch(*_)
sketch, stage.sketch_batch = stage.sketch_batch, press
main()
"""


def test_ctrl_c_that_a_library_swallows_stops_at_the_next_step(world: Path, tmp_path: Path) -> None:
    stops(SWALLOWED, world, tmp_path / "found")


def test_a_spool_that_cannot_be_begun_leaves_no_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: Any, **__: Any) -> None:
        raise OSError(errno.ENOSPC, "full")

    monkeypatch.setattr(pq, "ParquetWriter", full)
    for state in (None, tmp_path / "state"):
        with pytest.raises(OSError):
            Spool(tmp_path, now=0.0, state=state)
    assert [p.name for p in tmp_path.rglob("*")] == ["state"] or {p.name for p in tmp_path.rglob("*")} == {"state", "lock"}


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_full_disk_behind_standard_output_says_nothing_of_the_results(world: Path, tmp_path: Path) -> None:
    with open("/dev/full", "w") as full:
        command = [sys.executable, "-m", "stillwatch", *words(world, tmp_path)]
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    assert done.returncode == codes.UNUSABLE
    assert done.stderr == "Error: the output could not be written: the disk is full\n"
    assert (tmp_path / "report.html").exists()


def test_results_are_for_their_owner(world: Path, tmp_path: Path) -> None:
    out = tmp_path / "new" / "found"
    umask = os.umask(0)
    try:
        assert CliRunner().invoke(app, words(world, out)).exit_code == codes.DONE
    finally:
        os.umask(umask)
    assert {p.stat().st_mode & 0o777 for p in out.iterdir()} == {0o600}
    assert {p.stat().st_mode & 0o777 for p in (out, out.parent)} == {0o700}


def test_json_quiet_and_fail_on_found(world: Path, tmp_path: Path) -> None:
    done = CliRunner().invoke(app, [*words(world, tmp_path), "--json", "--fail-on-found"])
    assert done.exit_code == codes.NO
    told = json.loads(done.stdout)
    assert told["format"] == {"name": "stillwatch.summary", "version": 1}
    assert [c["accounts"] for c in told["campaigns"]] == [30]
    assert done.stderr == ""
    (tmp_path / "empty.jsonl").write_text("")
    done = CliRunner().invoke(app, ["detect", str(tmp_path / "empty.jsonl"), "--out", str(tmp_path / "o"), "--quiet", "--fail-on-found"])
    assert (done.exit_code, done.output) == (codes.DONE, "")


def test_hostile_ids_reach_no_terminal(world: Path, tmp_path: Path) -> None:
    assert CliRunner().invoke(app, words(world, tmp_path)).exit_code == codes.DONE
    campaign = json.loads((tmp_path / "campaigns.jsonl").read_text())
    campaign["reasons"][0]["calls"] = ["x\\[/x]", "[bold]b", "\x1b]0;title\x07", "\u202eabc", "a\nb"]
    campaign["against"] = ["\x1b[31mred"]
    (tmp_path / "campaigns.jsonl").write_text(json.dumps(campaign) + "\n")
    done = CliRunner().invoke(app, ["explain", str(tmp_path), "c-"])
    assert done.exit_code == codes.DONE
    assert "\x1b" not in done.output
    assert "\u202e" not in done.output
    flat = re.sub(r"[\s│]+", "", done.output)
    assert "x\\[/x],[bold]b,\\x1b]0;title\\x07,\\u202eabc" in flat
    done = CliRunner().invoke(app, ["explain", str(tmp_path), "\x1b[2Jnone"])
    assert done.exit_code == codes.UNUSABLE
    assert "\x1b" not in done.output


def test_what_a_terminal_acts_on_is_shown() -> None:
    assert shown("a\tb\nc é 中 🙂") == "a\tb\nc é 中 🙂"
    assert shown("\x1b[31m\x9b\x7f\u2028\u2066\ud800") == "\\x1b[31m\\x9b\\x7f\\u2028\\u2066\\ud800"


def test_commands_print_through_the_console_alone() -> None:
    for path in (SOURCES / "cli").glob("*.py"):
        if path.name == "console.py":
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call):
                called = ast.unparse(node.func)
                assert called != "print", f"{path.name}:{node.lineno}: use say"
                assert not called.endswith((".add_row", "typer.echo")), f"{path.name}:{node.lineno}: use row or say"


def test_output_that_nobody_reads_ends_quietly(world: Path, tmp_path: Path) -> None:
    assert CliRunner().invoke(app, words(world, tmp_path)).exit_code == codes.DONE
    command = f"{sys.executable} -m stillwatch explain {tmp_path} c- | true; exit ${{PIPESTATUS[0]}}"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=False)
    assert done.returncode in (codes.UNHEARD, codes.DONE)  # it may have been read in one gulp
    assert done.stderr == ""


def test_a_fault_is_a_70(tmp_path: Path) -> None:
    script = "import stillwatch.watch.found as f, sys\ndef broken(_): raise ZeroDivisionError\nf.read_case = broken\nfrom stillwatch.__main__ import main\nmain()"
    done = python(script, "explain", str(tmp_path), "c-")
    assert done.returncode == codes.FAULT
    assert "ZeroDivisionError" in done.stderr


def test_rich_is_not_given_markup() -> None:
    from rich.table import Table

    from stillwatch.cli.console import row

    table = Table("a")
    row(table, "[red]x[/red] \x1b[0m")
    with (console := Console(width=80, no_color=True)).capture() as seen:
        console.print(table)
    assert "[red]x[/red] \\x1b[0m" in seen.get()
