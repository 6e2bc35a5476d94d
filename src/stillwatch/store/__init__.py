"""Where bulk data lie while a run goes on: the spool on disk and the engine that runs the relational steps."""

from stillwatch.store.digests import sha256_of
from stillwatch.store.engine import Engine
from stillwatch.store.files import BusyError, alone_in, private_folder, undisturbed, write_atomically, write_together
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
