"""Each extra brings what its commands need, and detect needs none of them."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from importlib.metadata import PackageNotFoundError, requires
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from stillwatch.cli import codes

EXTRAS = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text())["project"]["optional-dependencies"]


def modules(extra: str) -> set[str]:
    names = {re.split(r"[><=\[]", d)[0] for d in EXTRAS[extra]}
    return {n.replace("-", "_") for n in names if n != "stillwatch"}


LOCKS = Path(__file__).parents[2] / "requirements"


def pinned(lock: Path) -> dict[str, Requirement]:
    lines = re.findall(r"^([a-zA-Z0-9._-]+(?:\[[^]]*\])?==[^ \\;]+)", lock.read_text(), re.MULTILINE)
    return {r.name: r for r in map(Requirement, lines)}


@pytest.mark.parametrize("name", ["run", "dev"])
def test_what_a_package_needs_with_an_extra_is_locked_with_it(name: str) -> None:
    # A pin without the extra is no pin for older pips: they take the newest release, and refuse it once there is one.
    pins, asked = pinned(LOCKS / f"{name}.lock"), 0
    for package in pins:
        try:
            needs = [Requirement(n) for n in requires(package) or ()]
        except PackageNotFoundError:
            continue  # for another platform or Python
        for need in needs:
            if need.extras and (need.marker is None or need.marker.evaluate({"extra": ""})):
                assert need.extras <= pins[need.name].extras, f"{package} needs {need}"
                asked += 1
    assert asked or name == "run"


WITHOUT = """
import sys
absent = set(sys.argv.pop(1).split(","))
class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in absent:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
sys.meta_path.insert(0, Absent())
from stillwatch.__main__ import main
main()
"""


def run(absent: set[str], *words: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", WITHOUT, ",".join(sorted(absent)), *words], capture_output=True, text=True, check=False, cwd=cwd
    )


def test_detect_explain_and_range_run_without_any_extra(tmp_path: Path) -> None:
    absent = modules("share") | modules("hub")
    done = run(absent, "demo", cwd=tmp_path)
    assert done.returncode == codes.DONE, done.stderr
    assert "1 campaign" in done.stdout
    assert run(absent, "explain", "demo/found", "c-", cwd=tmp_path).returncode == codes.DONE
    assert "1 of 1 campaigns found" in run(absent, "range", "score", "demo/world", "demo/found", cwd=tmp_path).stdout
    script = "import sys\nabsent = set(sys.argv[1].split(','))\n" + WITHOUT.split("\n", 3)[3].replace(
        "from stillwatch.__main__ import main\nmain()",
        "import stillwatch\nprint(stillwatch.detect('demo/world/calls.jsonl.gz', accounts='demo/world/accounts.csv'))",
    )
    done = subprocess.run([sys.executable, "-c", script, ",".join(absent)], capture_output=True, text=True, check=False, cwd=tmp_path)
    assert "1 campaign," in done.stdout, done.stderr


@pytest.mark.parametrize(
    ("words", "absent", "extra"),
    [
        ("hub push --desk x", {"share", "hub"}, "share"),
        ("release key --desk x", {"share", "hub"}, "share"),
        ("hub serve", {"hub"}, "hub"),
        ("hub serve", {"share", "hub"}, "hub"),
        ("key-holder serve --help", {"hub"}, "hub"),
        ("hub audit export --db h.db --out o", {"hub"}, "hub"),
    ],
)
def test_a_missing_extra_is_said_in_one_line(words: str, absent: set[str], extra: str, tmp_path: Path) -> None:
    done = run(set().union(*(modules(e) for e in absent)), *words.split(), cwd=tmp_path)
    assert done.returncode == codes.UNUSABLE, done.stderr
    assert re.fullmatch(rf'Error: this command needs pip install "stillwatch\[{extra}\]" \(\w+ is not installed\)\n', done.stderr), (
        done.stderr
    )


@pytest.mark.parametrize("words", ["hub push --desk x", "hub audit export --desk x --out o", "release withheld --desk x"])
def test_a_members_side_needs_no_server(words: str, tmp_path: Path) -> None:
    done = run(modules("hub"), *words.split(), cwd=tmp_path)
    assert "release init" in done.stderr or "no desk" in done.stderr, done.stderr


def test_all_is_all() -> None:
    assert EXTRAS["all"] == ["stillwatch[hub,range]"]
    assert "stillwatch[share]" in EXTRAS["hub"]
