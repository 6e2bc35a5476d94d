"""What several rooms' tests share."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import settings

# Shared machines stall; a deadline would test the machine and not the code.
settings.register_profile("steady", deadline=None, print_blob=True)
settings.load_profile("steady")


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
