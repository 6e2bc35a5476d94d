"""First stage: logs and sign-up records in, sketches on disk."""

from __future__ import annotations

import gc
import re
import shlex
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from hashlib import blake2b
from pathlib import Path
from typing import Final

import narwhals as nw
import pyarrow as pa

from stillwatch.records import ACCOUNTS, SKETCHES, Notice
from stillwatch.store import Engine, Source, Spool, View, alone_in, private_folder
from stillwatch.watch.campaign import DAY
from stillwatch.watch.detect import custody
from stillwatch.watch.detect.calls import each_once, known
from stillwatch.watch.evidence import unknown_fields
from stillwatch.watch.evidence.words import count
from stillwatch.watch.intake import Identity, IntakeError, Quarantine, Reader, expand, few_prompts, load_or_create_key, read_accounts
from stillwatch.watch.link.steps import Frame
from stillwatch.watch.sketch import RECIPE, sketch_batch


@dataclass(frozen=True, slots=True)
class Settings:
    """What a run is asked to do."""

    logs: Sequence[str] = ()
    out: Path = Path("found")
    accounts: Path | None = None
    key: Path | None = None
    max_false_alarms: float = 0.01
    show_text: bool = False
    memory: str = "3GB"
    state: Path | None = None
    window: float | None = None  # days up to the newest call
    columns: Mapping[str, str] = field(default_factory=dict)  # known column of the accounts file -> what the file calls it
    trusted_proxies: int | tuple[str, ...] | None = None  # own proxies before the gateway: their number, or their networks
    account_by_key: bool = False  # the API key is the account, even where the log names a user
    by: str | None = None  # who runs it, for the run's record; None takes the system's name of the user
    config: Path | None = None  # the settings file that some of this came from
    threads: int | None = None  # the engine's; None: one per core

    def __post_init__(self) -> None:
        if not re.fullmatch(r"[0-9]+(\.[0-9]+)? ?([KMGT]i?B)", self.memory, re.IGNORECASE):
            raise ValueError(f"memory: {self.memory} is no amount such as 8GB or 500MB")
        if self.threads is not None and self.threads < 1:
            raise ValueError(f"threads: {self.threads} is less than 1")

    def command(self) -> str:
        """The command line that asks for this."""
        words = ["stillwatch", "detect", *self.logs]
        if self.accounts:
            words += ["--accounts", str(self.accounts)]
        words += [w for known, theirs in self.columns.items() for w in ("--column", f"{known}={theirs}")]
        words += ["--out", str(self.out), "--max-false-alarms", f"{self.max_false_alarms:g}"]
        if self.state:
            words += ["--state", str(self.state)]
        if self.window is not None:
            words += ["--window", f"{self.window:g}"]
        if self.by is not None:
            words += ["--by", self.by]
        if self.threads is not None:
            words += ["--threads", str(self.threads)]
        words += ["--account-by-key"] * self.account_by_key
        return shlex.join(words + ["--memory", self.memory] + ["--show-text"] * self.show_text)


#: Name of the file of rejected lines.
QUARANTINE: Final = "quarantine.jsonl"


@dataclass(slots=True)
class Progress:
    """What the flow tells its caller while it works; the console draws it."""

    step: Callable[[str], None] = lambda _: None
    size: Callable[[int], None] = lambda _: None
    read: Callable[[int], None] = lambda _: None
    timings: dict[str, float] = field(default_factory=dict)
    placed: bool = False  # whether the results are in place
    _since: float = field(default_factory=time.perf_counter)
    _name: str = ""

    def enter(self, name: str) -> None:
        """End the step before and begin ``name``."""
        now = time.perf_counter()
        if self._name:
            self.timings[self._name] = round(now - self._since, 3)
        self._since, self._name = now, name
        if name:
            self.step(name)


@dataclass(slots=True)
class Read:
    """A log that has been read: its calls as one frame of ``records.SKETCHES``, each once, and what was read beside them."""

    settings: Settings
    progress: Progress
    now: float
    identity: Identity
    quarantine: Quarantine
    spool: Spool
    engine: Engine
    calls: Frame
    accounts: pa.Table  # records.ACCOUNTS
    view: View
    notices: list[Notice] = field(default_factory=list)
    inputs: list[dict[str, object]] = field(default_factory=list)  # besides the logs, as in ``RunRecord.inputs``


def read(settings: Settings, progress: Progress, stack: ExitStack, *, now: float, remember: bool = False) -> Read:
    """Read the logs that the state does not hold yet; what is opened closes with ``stack``.

    Args:
        remember: keep clear values of traits in memory, for the few that are blinded.

    Raises:
        IntakeError: the input as a whole cannot be used.
        StateError: the state cannot be gone on with.
        BusyError: another run writes to the same place.
    """
    private_folder(settings.out)
    stack.enter_context(alone_in(settings.out))
    if settings.state is not None:
        settings.state.mkdir(parents=True, exist_ok=True, mode=0o700)
    key = load_or_create_key(settings.key or (settings.state or settings.out) / "identity.key")
    try:
        identity = Identity(key, remember=remember, trusted_proxies=settings.trusted_proxies)
    except ValueError as error:
        raise IntakeError(f"trusted_proxies: {error}; give their number, or networks such as 10.0.0.0/8") from None
    named = expand(settings.logs)
    notices: list[Notice] = []
    quarantine = stack.enter_context(Quarantine(settings.out / QUARANTINE))
    mark = blake2b(key, digest_size=8, person=b"sw-state").hexdigest()
    spool = stack.enter_context(Spool(settings.out, now=now, state=settings.state, recipe=RECIPE, key=mark))
    unread = {str(u.file): u for u in spool.unread(named)}
    files = [u.file for u in unread.values()]
    if len(files) < len(named):
        notices.append(Notice("state", f"{len(named) - len(files)} files were in the state already and were not read again"))
    progress.size(sum(f.stat().st_size for f in files))

    progress.enter("read and sketch")
    accounts = ACCOUNTS.empty_table()
    if settings.accounts:
        accounts, report = read_accounts(settings.accounts, identity, quarantine, settings.columns)
        notices += [Notice("accounts", n) for n in report.notices]
        if report.lost:
            text = (
                f"{count(report.lost, 'row')} of {report.rows:,} of {report.file} could not be used; the reasons are in quarantine.jsonl."
            )
            hides = "What they say of their accounts is not known."
            notices.append(Notice("accounts-rejected", text, report.lost / report.rows, "rows", hides))
    of_accounts, before = quarantine.count, quarantine.by_reason.copy()
    inputs = [custody.given(p, kind) for kind, p in (("accounts", settings.accounts), ("settings", settings.config)) if p is not None]
    if settings.accounts:
        inputs[0]["rejected"] = of_accounts
    reader = Reader(identity, quarantine, progress=progress.read, now=now, by_key=settings.account_by_key)
    with _few_collections():
        for batch in reader.read(files):
            spool.add(batch, sketch_batch(batch, spool.next_call))
    if not reader.tally.calls and quarantine.count > of_accounts and not any(p.manifest.calls for p in spool.parts):
        raise _none_used(settings.out, quarantine, quarantine.count - of_accounts, quarantine.by_reason - before)
    done = [
        Source(str(Path(r.file).resolve()), r.bytes, unread[r.file].changed, r.sha256, r.calls, r.rejected, unread[r.file].again)
        for r in reader.reports
    ]
    spool.finish(done, quarantine.so_far())  # the part that comes into a state now takes its rejects with it
    view = spool.view(None if settings.window is None else settings.window * DAY)
    engine = stack.enter_context(Engine(spool.folder, memory=settings.memory, threads=settings.threads))
    raw = engine.parquet([p.sketches for p in view.parts or spool.parts[-1:]], SKETCHES)
    if settings.window is not None:
        raw = raw.filter(nw.col("at") > view.begin)
    if view.ahead:
        text = "the state holds calls later than a day from now: they are kept and looked at when they are due; check the clocks"
        notices.append(Notice("clock", text))
        raw = raw.filter(nw.col("at") <= view.latest)
    for start, end in view.again:
        raw = raw.filter((nw.col("call") < start) | (nw.col("call") >= end))
    calls = each_once(raw, engine, quarantine, spool.parts, notices)
    told = few_prompts(reader.tally.calls, reader.tally.with_text, reader.tally.without)
    notices[:0] = [Notice("intake", n) for n in reader.notices if told is None or n != str(told)]
    # A state holds more than was read now, so what is missing is counted over all of it.
    whole, with_text, with_answer = known(calls, engine)
    if (first := few_prompts(whole, with_text, reader.tally.without)) is not None:
        notices.insert(0, first)
    else:
        notices += unknown_fields({"text": whole - with_text}, calls=whole, accounts=0)
    notices += unknown_fields({"answer": whole - with_answer}, calls=whole, accounts=0)
    return Read(settings, progress, now, identity, quarantine, spool, engine, calls, accounts, view, notices, inputs)


def _none_used(out: Path, quarantine: Quarantine, rows: int, reasons: Counter[str]) -> IntakeError:
    """What is said of a log of which no row could be used; the rejected lines are left where no results of an earlier run lie."""
    why = ", ".join(f"{reason} ({n:,})" for reason, n in reasons.most_common(3))
    where = ""
    if not (out / "run.json").exists():
        quarantine.close()
        where = f"; the lines are in {out / QUARANTINE}"
    return IntakeError(f"no row of the log could be used, {count(rows, 'row')} rejected: {why}{where}")


@contextmanager
def _few_collections() -> Iterator[None]:
    """Rows make many small objects and no cycles, so looking for cycles as often as usual costs a fourteenth of reading."""
    usual = gc.get_threshold()
    gc.set_threshold(200_000, 20, 100)
    try:
        yield
    finally:
        gc.set_threshold(*usual)
