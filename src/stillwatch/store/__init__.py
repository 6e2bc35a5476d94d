"""Where bulk data lie while a run goes on: the spool on disk and the engine that runs the relational steps."""

from stillwatch.store.digests import sha256_of
from stillwatch.store.engine import Engine
from stillwatch.store.files import write_atomically
from stillwatch.store.spool import Part, Source, Spool, StateError, Unread, View

__all__ = ["Engine", "Part", "Source", "Spool", "StateError", "Unread", "View", "sha256_of", "write_atomically"]
