"""The key-holder: evaluates blinded traits with a key per (trait, epoch), and knows nothing of what they are.

A process, a machine and an owner of its own: hub and key-holder in one hand could try out every value.
"""

from __future__ import annotations

import json
import logging
import os
import sqlite3
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager, closing, suppress
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any, Final, get_args

import anyio
import anyio.to_thread
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from stillwatch.share.net.access import hashed, read_authorization
from stillwatch.share.release.document import TraitKind
from stillwatch.share.tokens import oprf, sodium
from stillwatch.share.tokens.seal import epoch_of, epochs

TRAITS: Final[tuple[str, ...]] = get_args(TraitKind)
#: Seconds between looks at the calendar.
TURN: Final = 60.0
_LOG: Final = logging.getLogger("stillwatch.keyholder")


class KeyHolderError(ValueError):
    """What the key-holder's operator asked for cannot be done; the message says why."""


@dataclass(frozen=True, slots=True)
class Key:
    """A key, or one holder's share of it with the commitments to the polynomial."""

    secret: bytes
    public: bytes  # of the whole key
    holder: int = 0
    commitments: tuple[bytes, ...] = ()

    @property
    def own_public(self) -> bytes:
        """What its proofs are checked against."""
        return oprf.public_share(self.holder, self.commitments) if self.commitments else self.public


class KeyHolder:
    """Keys and quotas in a folder of mode 0700.

    Args:
        folder: made if it is not there.
        a_day: evaluations for one member and kind of trait in a day.
        clock: epoch seconds.
    """

    def __init__(self, folder: Path, *, a_day: int = 100_000, clock: Callable[[], float] = time.time) -> None:
        self.folder, self.a_day, self.clock = folder, a_day, clock
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        folder.chmod(0o700)
        with closing(self._open()) as db, db:
            db.execute("CREATE TABLE IF NOT EXISTS members (name TEXT PRIMARY KEY, token TEXT UNIQUE NOT NULL)")
            db.execute(
                "CREATE TABLE IF NOT EXISTS used (member TEXT, trait TEXT, day TEXT, n INTEGER NOT NULL, PRIMARY KEY (member, trait, day))"
            )

    def _open(self) -> sqlite3.Connection:
        path = self.folder / "quotas.db"
        if not path.exists():
            path.touch(mode=0o600)
        return sqlite3.connect(path, timeout=60)

    def _today(self) -> date:
        return datetime.fromtimestamp(self.clock(), UTC).date()

    def enrol(self, name: str, token: str) -> None:
        """Enrol a member, or give it another token."""
        with closing(self._open()) as db, db:
            db.execute("INSERT OR REPLACE INTO members VALUES (?, ?)", (name, hashed(token)))

    def revoke(self, name: str) -> None:
        """Shut a member out."""
        with closing(self._open()) as db, db:
            if db.execute("DELETE FROM members WHERE name = ?", (name,)).rowcount != 1:
                raise KeyHolderError(f"{name}: no such member")

    def member(self, token: str) -> str | None:
        """Whose token it is."""
        with closing(self._open()) as db:
            row = db.execute("SELECT name FROM members WHERE token = ?", (hashed(token),)).fetchone()
        return str(row[0]) if row else None

    def _file(self, epoch: str) -> Path:
        return self.folder / f"epoch-{epoch}.json"

    def ensure_epoch(self, epoch: str) -> None:
        """Make an epoch's keys where there are none; a holder of shares is given them by the dealer instead."""
        if self._file(epoch).exists() or (self.folder / "split").exists():
            return
        seed = os.urandom(32)
        made = {}
        for trait in TRAITS:
            secret, public = oprf.derive_key(seed, f"{trait}|{epoch}".encode(), oprf.VOPRF)
            made[trait] = {"secret": secret.hex(), "public": public.hex()}
        with suppress(FileExistsError):
            self._save(epoch, made)

    def _save(self, epoch: str, made: Mapping[str, Any]) -> None:
        """Write an epoch's keys, unless there are some: two requests at the turn of a quarter must not make two keys.

        Raises:
            FileExistsError: there are.
        """
        temporary = self.folder / f"epoch-{epoch}.{os.urandom(4).hex()}.new"
        handle = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(handle, "w") as f:
            json.dump(made, f)
            f.flush()
            os.fsync(f.fileno())
        try:
            os.link(temporary, self._file(epoch))
        finally:
            temporary.unlink()
            _sync(self.folder)

    def forget_old(self) -> list[str]:
        """Destroy the keys of epochs that are over; returns which.  On disk when it returns: no cut of power brings them back."""
        keep, gone = epochs(self._today()), []
        for path in [*self.folder.glob("epoch-*.json"), *self.folder.glob("epoch-*.new")]:
            if (epoch := path.stem.removeprefix("epoch-")) not in keep and epoch < min(keep):
                path.unlink(missing_ok=True)  # another request may have been faster
                gone.append(epoch)
        if gone:
            _sync(self.folder)
            _LOG.info("keys destroyed", extra={"data": {"epochs": sorted(gone)}})
        return gone

    def _turn(self) -> None:
        """What the calendar asks for: old keys go on the day, and this quarter's are there."""
        self.forget_old()
        self.ensure_epoch(epoch_of(self._today()))

    def keys(self, epoch: str) -> dict[str, Key]:
        """The keys of an epoch by trait; empty where there are none."""
        try:
            raw = json.loads(self._file(epoch).read_text())
        except FileNotFoundError:
            return {}
        return {
            trait: Key(
                bytes.fromhex(k["secret"]),
                bytes.fromhex(k["public"]),
                k.get("holder", 0),
                tuple(map(bytes.fromhex, k.get("commitments", ()))),
            )
            for trait, k in raw.items()
        }

    def spend(self, member: str, trait: str, n: int) -> bool:
        """Count ``n`` evaluations towards the quota of the last 24 hours; False where it would be exceeded, and nothing is counted.

        A member's name owns the count: another token, a restart, or being shut out and enrolled again give nothing back.
        """
        now = datetime.fromtimestamp(self.clock(), UTC)
        hour, before = (t.isoformat(timespec="hours")[:13] for t in (now, now - timedelta(days=1)))
        with closing(self._open()) as db, db:
            db.execute("BEGIN IMMEDIATE")
            used = (
                db.execute("SELECT sum(n) FROM used WHERE member = ? AND trait = ? AND day > ?", (member, trait, before)).fetchone()[0] or 0
            )
            if used + n > self.a_day:
                return False
            db.execute(
                "INSERT INTO used VALUES (?, ?, ?, ?) ON CONFLICT (member, trait, day) DO UPDATE SET n = n + excluded.n",
                (member, trait, hour, n),
            )
            db.execute("DELETE FROM used WHERE day <= ?", (before,))
        return True

    def app(self) -> Starlette:
        """The ASGI application."""
        self._turn()

        @asynccontextmanager
        async def life(_: Starlette) -> AsyncIterator[None]:
            async with anyio.create_task_group() as group:
                group.start_soon(self._turning)
                yield
                group.cancel_scope.cancel()

        routes = [
            Route("/keys/", self._keys),
            Route("/evaluate/{trait}/{epoch}/", self._evaluate, methods=["POST"]),
            Route("/health/", lambda _: _answer(200, {"status": "ok"})),
        ]
        app = Starlette(routes=routes, lifespan=life)
        app.router.redirect_slashes = False  # a path with a line break would be sent in circles
        return app

    async def _turning(self) -> None:
        """Nobody needs to ask for old keys to go: within a minute after midnight UTC they are gone."""
        while True:
            await anyio.sleep(TURN)
            try:
                await anyio.to_thread.run_sync(self._turn)
            except OSError:
                _LOG.exception("keys of epochs that are over")

    async def _member(self, request: Request) -> str | None:
        await anyio.to_thread.run_sync(self._turn)
        token = read_authorization(request.headers.get("authorization"))
        return await anyio.to_thread.run_sync(self.member, token) if token else None

    async def _keys(self, request: Request) -> Response:
        if await self._member(request) is None:
            return _answer(401, {"title": "Unauthorized"}, {"WWW-Authenticate": "Bearer"})
        shown: list[dict[str, object]] = []
        for epoch in epochs(self._today()):
            for trait, k in sorted(self.keys(epoch).items()):
                split = {"holder": k.holder, "commitments": [c.hex() for c in k.commitments]} if k.commitments else {}
                shown.append({"trait": trait, "epoch": epoch, "public": k.public.hex(), **split})
        return _answer(200, {"keys": shown})

    async def _evaluate(self, request: Request) -> Response:
        member = await self._member(request)
        if member is None:
            return _answer(401, {"title": "Unauthorized"}, {"WWW-Authenticate": "Bearer"})
        trait, epoch = request.path_params["trait"], request.path_params["epoch"]
        if epoch not in epochs(self._today()) or trait not in (known := self.keys(epoch)):
            return _answer(404, {"title": "No key for this trait and epoch"})
        body, most = b"", sodium.SIZE * oprf.MAX_BATCH
        async for chunk in request.stream():
            body += chunk
            if len(body) > most:
                return _answer(413, {"title": f"At most {oprf.MAX_BATCH} elements at a time"})
        n = len(body) // sodium.SIZE
        if not body or len(body) % sodium.SIZE:
            return _answer(400, {"title": "Send elements of 32 bytes, end to end"})
        if not await anyio.to_thread.run_sync(self.spend, member, trait, n):
            return _answer(429, {"title": f"The quota of {self.a_day} a day is used up"}, {"Retry-After": "86400"})
        key = known[trait]

        def work() -> bytes:
            evaluated = oprf.evaluate(key.secret, body)
            return evaluated + oprf.prove(key.secret, key.own_public, body, evaluated)

        try:
            answer = await anyio.to_thread.run_sync(work)
        except sodium.ElementError as error:
            return _answer(400, {"title": str(error)})
        _LOG.info("evaluate", extra={"data": {"member": member, "trait": trait, "epoch": epoch, "elements": n}})
        return Response(answer, media_type="application/octet-stream")


def deal(folders: list[Path], threshold: int, epoch: str) -> None:
    """The dealer's ceremony: make an epoch's keys, hand each holder its share, keep nothing.

    Args:
        folders: one for each holder, to be carried to its machine.

    Raises:
        KeyHolderError: a folder has keys of the epoch already.
    """
    holders = [KeyHolder(f) for f in folders]
    made: list[dict[str, Any]] = [{} for _ in holders]
    seed = os.urandom(32)
    for trait in TRAITS:
        secret, public = oprf.derive_key(seed, f"{trait}|{epoch}".encode(), oprf.VOPRF)
        shares, commitments = oprf.split(secret, threshold, len(holders))
        for at, share in enumerate(shares):
            oprf.check_share(share, at + 1, commitments)
            shown = [c.hex() for c in commitments]
            made[at][trait] = {"secret": share.hex(), "public": public.hex(), "holder": at + 1, "commitments": shown}
    for holder, mine in zip(holders, made, strict=True):
        (holder.folder / "split").touch(mode=0o600)
        try:
            holder._save(epoch, mine)
        except FileExistsError:
            raise KeyHolderError(f"{holder.folder}: has keys of {epoch} already; give folders that are new") from None


def _sync(folder: Path) -> None:
    """Let the folder's entries reach the disk."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _answer(status: int, body: Mapping[str, object], headers: Mapping[str, str] | None = None) -> Response:
    return Response(json.dumps(body).encode(), status, dict(headers or {}), "application/json")
