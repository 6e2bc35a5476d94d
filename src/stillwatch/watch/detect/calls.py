"""The rows of a log -> its calls: each once, under the account that the whole log gives it."""

from __future__ import annotations

import hashlib
from bisect import bisect_right
from collections.abc import Sequence

import pyarrow as pa
import pyarrow.compute as pc

from stillwatch.records import Notice
from stillwatch.store import Engine, Part
from stillwatch.watch import link
from stillwatch.watch.intake import Quarantine
from stillwatch.watch.link.steps import Frame

#: Field and reason under which a copy of a call stands in quarantine.
COPY = ("id", "repeated: the same id, account, start time and text; one is kept")
UNANSWERED = "a key that the log ties to no account and that had no call answered: nobody's"


def each_once(rows: Frame, engine: Engine, quarantine: Quarantine, parts: Sequence[Part], notices: list[Notice]) -> Frame:
    """Put calls by a key under the key's one user, and leave out the calls of keys that are nobody's and copies of a call.

    What is left out stands in ``quarantine``, with its file and a digest of its id; ``notices`` get a sentence for each kind.
    """
    files = _Files(parts)
    calls = rows
    loose = engine.fetch(link.loose_keys(calls))
    if loose.num_rows:
        calls = engine.keep("calls_by_user", link.with_users(calls, engine.keep("loose_keys", loose)))
        torn = loose.filter(pc.not_equal(loose.column("least"), loose.column("most")))
        if torn.num_rows:
            some = pc.sum(torn.column("calls")).as_py()
            text = f"{torn.num_rows:,} API keys belong to several users in this log; {some:,} calls that name only the key are counted as the key's own"
            notices.append(Notice("shared-keys", text))
    strangers = engine.fetch(link.unanswered_keys(calls))
    if strangers.num_rows:
        number = int(pc.sum(strangers.column("calls")).as_py())
        nobody = engine.keep("nobodys_keys", strangers)
        left_out = calls.join(nobody.select("account"), on="account", how="semi").select("call", "call_id")
        _leave_out(left_out, number, "account", UNANSWERED, engine, quarantine, files)
        who = f"{strangers.num_rows:,} keys that the log ties to no account and that were never answered"
        notices.append(Notice("unknown-keys", f"{number:,} failed calls by {who} (log-ins with unknown keys) count for nobody"))
        calls = calls.join(nobody.select("account"), on="account", how="anti")
    repeated = engine.fetch(link.duplicates(calls))
    if repeated.num_rows:
        number = int(pc.sum(repeated.column("n")).as_py()) - repeated.num_rows
        copies = engine.keep("copies", link.repeats(calls, engine.keep("repeated", repeated)))
        _leave_out(copies, number, *COPY, engine, quarantine, files)
        lines = "1 line repeats" if number == 1 else f"{number:,} lines repeat"
        text = f"{lines} a call that was seen already (the same id, account, start time and text); each call counts once"
        notices.append(Notice("repeats", text))
        calls = calls.join(copies.select("call"), on="call", how="anti")
    return calls if calls is rows else engine.keep("distinct_calls", calls)


def _leave_out(frame: Frame, number: int, field: str, reason: str, engine: Engine, quarantine: Quarantine, files: _Files) -> None:
    listed: pa.Table = engine.fetch(frame.sort("call").head(min(number, quarantine.room)))
    for call, call_id in zip(listed.column("call").to_pylist(), listed.column("call_id").to_pylist(), strict=True):
        digest = hashlib.sha256(call_id.encode("utf-8", "replace")).hexdigest()
        quarantine.add_digest(files.of(call), None, field, reason, excerpt=f"sha256 of the call's id={digest}")
    if number > listed.num_rows:
        quarantine.add_uncounted(field, reason, number - listed.num_rows)


class _Files:
    """Which file a call number came from."""

    def __init__(self, parts: Sequence[Part]) -> None:
        self._starts: list[int] = []
        self._names: list[str] = []
        for part in sorted(parts, key=lambda p: p.manifest.start):
            at = part.manifest.start
            for source in part.manifest.sources:
                self._starts.append(at)
                self._names.append(source.path)
                at += source.calls

    def of(self, call: int) -> str:
        at = bisect_right(self._starts, call) - 1
        return self._names[at] if at >= 0 else ""


def known(calls: Frame, engine: Engine) -> tuple[int, int, int]:
    """(calls, calls whose text is known, calls whose answer is)."""
    row = engine.fetch(link.known(calls)).to_pylist()[0]
    return int(row["calls"]), int(row["with_text"] or 0), int(row["with_answer"] or 0)


__all__ = ["COPY", "each_once", "known"]
