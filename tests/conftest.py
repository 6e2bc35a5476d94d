"""What several rooms' tests share."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import uvicorn
from hypothesis import settings

# Shared machines stall; a deadline would test the machine and not the code.
settings.register_profile("steady", deadline=None, print_blob=True)
settings.load_profile("steady")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Whole worlds reach what quicker tests of `watch` reach too, and coverage would make them twice as slow."""
    for item in items:
        if item.get_closest_marker("slow") and "share" not in item.path.parts:
            item.add_marker(pytest.mark.no_cover)


@pytest.fixture(scope="session")
def dev_world() -> Path:
    """The labelled world beside the repository, where there is one."""
    path = Path(__file__).parents[2] / "shared" / "worlds" / "dev"
    if not (path / "calls.jsonl.gz").is_file():
        pytest.skip("the labelled world is not here (expected in ../shared/worlds/dev)")
    return path


@pytest.fixture(scope="session")
def score_tool() -> Path:
    path = Path(__file__).parents[2] / "shared" / "tools" / "score_world.py"
    if not path.is_file():
        pytest.skip("the scoring tool is not here (expected in ../shared/tools)")
    return path


@pytest.fixture
def served() -> Iterator[Callable[[Any], str]]:
    """Serve an application on loopback; gives its address."""
    running: list[tuple[uvicorn.Server, threading.Thread]] = []

    def serve(app: Any) -> str:
        server = uvicorn.Server(uvicorn.Config(app, host="127.0.0.1", port=0, log_config=None, access_log=False))
        thread = threading.Thread(target=server.run, daemon=True)
        thread.start()
        while not server.started:
            time.sleep(0.01)
        running.append((server, thread))
        return f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"

    yield serve
    for server, thread in running:
        server.should_exit = True
        thread.join(30)
