"""Where bulk data lie while a run goes on: the spool on disk and the engine that runs the relational steps.

What brings DuckDB and Arrow along is imported when it is first used: a desk that writes one file needs neither.
"""

from importlib import import_module
from typing import TYPE_CHECKING

from stillwatch.store.digests import sha256_of
from stillwatch.store.files import BusyError, alone_in, private_folder, undisturbed, write_atomically, write_together

if TYPE_CHECKING:
    from stillwatch.store.engine import Engine
    from stillwatch.store.spool import Part, Source, Spool, StateError, Unread, View, damage_of

__all__ = [
    "BusyError",
    "Engine",
    "Part",
    "Source",
    "Spool",
    "StateError",
    "Unread",
    "View",
    "alone_in",
    "damage_of",
    "private_folder",
    "sha256_of",
    "undisturbed",
    "write_atomically",
    "write_together",
]


def __getattr__(name: str) -> object:
    if name in __all__:
        return getattr(import_module("stillwatch.store.engine" if name == "Engine" else "stillwatch.store.spool"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
