"""The hub's server: TAXII 2.1, the log, and the answers at quorum, over ASGI.

Long because it is one table of routes with a short handler each; what the handlers mean is in ``taxii``, ``database``, ``quorum`` and ``log``.
"""

from __future__ import annotations

import json
import logging
import re
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, date, datetime
from hashlib import sha256
from typing import Any, Final, TypeVar
from uuid import uuid4

import anyio
import anyio.to_thread
import sqlalchemy as sa
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from stillwatch.share.hub import contribution, operate, quorum, taxii
from stillwatch.share.hub.database import Database, Incoming, Member
from stillwatch.share.hub.taxii import MEDIA, Refused, Wanted
from stillwatch.share.net.access import read_authorization
from stillwatch.share.net.guard import Guard, Rate
from stillwatch.share.tlog import log as tree
from stillwatch.share.wire import stix as wire

Clock = Callable[[], float]
T = TypeVar("T")
_JSON: Final = "application/json"
_LOG: Final = logging.getLogger("stillwatch.hub")
_TAG: Final = re.compile("[0-9a-f]{32}")
#: Objects in one envelope.
MAX_OBJECTS: Final = 10_000
#: Threads that read at a time; with writer and health fewer than the database's pool has connections.
_READERS: Final = 12
#: Seconds between notes of who came.
_NOTED: Final = 2
#: Escapes that make a null character or half of a surrogate pair, where they make one.
_SUSPECT: Final = re.compile(r"\\u(?:0000|[dD][89a-fA-F])")
#: What no string may hold: PostgreSQL keeps no null character, and half a surrogate pair has no UTF-8.
_UNSTORABLE: Final = re.compile("[\x00\ud800-\udfff]")


@dataclass(frozen=True, slots=True)
class Limits:
    """What one member may ask of the hub."""

    body: int = 16 * 1024 * 1024  # bytes
    requests: float = 50.0  # a second, in the long run
    burst: float = 500.0
    tokens_a_day: int = 100_000
    caps: contribution.Caps = contribution.Caps()  # noqa: RUF009 - frozen
    quorum: int = 3  # owners that must have sent a tag before anybody is told
    answer_every: float = 86_400.0  # seconds from answers to answers, on the clock; less than a day makes an oracle


class Hub:
    """The exchange.

    Args:
        database: where everything is kept.
        origin: the log's name, a host and path without scheme.
        key: signs the log's checkpoints.
        limits: quotas.
        clock: epoch seconds.
        url: the hub's address as its members write it; None takes what each request was sent to.
    """

    def __init__(
        self,
        database: Database,
        *,
        origin: str,
        key: Ed25519PrivateKey,
        limits: Limits | None = None,
        clock: Clock = time.time,
        url: str | None = None,
    ) -> None:
        self.db, self.origin, self.key, self.clock = database, origin, key, clock
        self.limits = limits or Limits()
        self._reads: list[tuple[dict[str, object], int]] = []
        self.url = url
        # The day that each member last came on, and what of it is not yet written down: nobody waits for the writer's turn to be let in.
        self._used: dict[str, str] = {}
        self._came: dict[str, str] = {}
        self._rate = Rate(self.limits.requests, self.limits.burst)
        # Writers take turns anyway: those that wait must not hold the threads and connections that readers need, nor readers those of health.
        self._writers, self._readers, self._looking = anyio.CapacityLimiter(1), anyio.CapacityLimiter(_READERS), anyio.CapacityLimiter(1)
        self.registry = CollectorRegistry()
        self._requests = Counter("stillwatch_hub_requests_total", "Requests.", ["route", "method", "status"], registry=self.registry)
        self._seconds = Histogram("stillwatch_hub_request_seconds", "Time to answer.", ["route"], registry=self.registry)
        self._stored = Counter("stillwatch_hub_objects_stored_total", "Objects taken in.", registry=self.registry)
        self._refused = Counter("stillwatch_hub_objects_refused_total", "Objects refused.", registry=self.registry)
        self._served = Counter("stillwatch_hub_objects_served_total", "Objects given out.", registry=self.registry)
        self._entries = Gauge("stillwatch_hub_log_entries", "Entries in the log.", registry=self.registry)
        own = self.limits
        self.matching = quorum.Matching(
            database, quorum=own.quorum, a_day=own.tokens_a_day, every=own.answer_every, registry=self.registry, now=self._now()
        )

    def app(self) -> ASGIApp:
        """The ASGI application."""
        routes = [
            self._route("/taxii2/", self._discovery),
            self._route("/api/", self._root),
            self._route("/api/status/{status}/", self._status),
            self._route("/api/collections/", self._collections),
            self._route("/api/collections/{collection}/", self._collection),
            self._route("/api/collections/{collection}/manifest/", self._manifest),
            self._route("/api/collections/{collection}/objects/", self._get_objects, post=self._post_objects),
            self._route("/api/collections/{collection}/objects/{object}/", self._get_object, delete=self._delete_object),
            self._route("/api/collections/{collection}/objects/{object}/versions/", self._versions),
            self._route("/hub/keys/", self._keys),
            self._route("/hub/persons/", None, post=self._post_persons),
            self._route("/hub/ledger/", None, post=self._post_ledger),
            self._route("/hub/ended/", self._ended),
            self._route("/hub/tokens/", self._terms, post=self._post_tokens),
            self._route("/hub/tokens/withdraw/", None, post=self._withdraw_tokens),
            self._route("/hub/answers/", self._answers),
            self._route("/hub/metrics/", self._metrics),
            self._route("/hub/health/", self._health),
            self._route("/log/checkpoint/", self._checkpoint, post=self._cosign),
            self._route("/log/cosigned/", self._cosigned),
            self._route("/log/mine/", self._mine),
            self._route("/log/restored/", self._restored),
            self._route("/log/tile/{rest:path}/", self._tile),
            self._route("/{rest:path}", self._nothing),
        ]

        @asynccontextmanager
        async def life(_: Starlette) -> AsyncIterator[None]:
            async with anyio.create_task_group() as group:
                group.start_soon(self._sweeping)
                group.start_soon(self._noting)
                group.start_soon(self._answering)
                yield
                group.cancel_scope.cancel()
            with suppress(sa.exc.SQLAlchemyError):
                await self._note()

        async def wrong(_: Request, error: Exception) -> Response:
            status = error.status_code if isinstance(error, HTTPException) else 500
            headers = dict(error.headers or {}) if isinstance(error, HTTPException) else {}
            titles = {404: "Not found", 405: "Method not allowed"}
            return Response(taxii.error_body(status, titles.get(status, "Error")), status, headers, MEDIA)

        app = Starlette(routes=routes, lifespan=life, exception_handlers={HTTPException: wrong})
        app.router.redirect_slashes = False  # _Slashed sees to it; Starlette's own sends a path with a line break in circles
        return Guard(_Slashed(app), MEDIA)

    def _route(self, path: str, get: Any, *, post: Any = None, delete: Any = None) -> Route:
        by = {"GET": get, "HEAD": get, "POST": post, "DELETE": delete}
        methods = [m for m, f in by.items() if f]

        async def endpoint(request: Request) -> Response:
            start, member = time.perf_counter(), None
            try:
                if path == "/hub/health/":
                    response: Response = await get(request)
                else:
                    member = await self._authenticate(request)
                    if not path.startswith(("/hub/", "/log/")):
                        taxii.negotiate(request.headers.get("accept"))
                    if request.method not in methods:
                        raise Refused(405, "Method not allowed", headers={"Allow": ", ".join(sorted(methods))})
                    response = await by[request.method](request, member)
            except Refused as error:
                response = Response(taxii.error_body(error.status, error.title, error.description), error.status, error.headers, MEDIA)
            except ClientDisconnect:
                response = Response(status_code=400)
            except sa.exc.SQLAlchemyError:
                _LOG.exception("database")
                body = taxii.error_body(503, "Out of service for a moment", "Nothing was stored; try again.")
                response = Response(body, 503, {"Retry-After": "5"}, MEDIA)
            except Exception:  # a fault of ours: the client is told so in our form, the log in full
                _LOG.exception("fault")
                response = Response(taxii.error_body(500, "Error", "A fault of this hub; nothing was stored."), 500, media_type=MEDIA)
            took = time.perf_counter() - start
            self._requests.labels(path, request.method, response.status_code).inc()
            self._seconds.labels(path).observe(took)
            who = member.name if member else None
            told = {"member": who, "method": request.method, "route": path, "status": response.status_code, "ms": round(1000 * took, 1)}
            if member is not None or response.status_code >= 500:  # a line for whoever asks is anybody's way to fill the disk
                _LOG.info("request", extra={"data": told})
            return response

        return Route(path, endpoint, methods=["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"])

    async def _authenticate(self, request: Request) -> Member:
        token = read_authorization(request.headers.get("authorization"))
        now = self._now()
        member = await self._read(lambda c: self.db.member(c, token, now)) if token else None
        if member is None:
            raise Refused(401, "Unauthorized", headers={"WWW-Authenticate": 'Bearer realm="stillwatch", Basic realm="stillwatch"'})
        wait = self._rate.take(member.name)
        if wait:
            raise Refused(429, "Too many requests", headers={"Retry-After": str(wait)})
        if self._used.get(member.name) != (today := self._today()):
            self._used[member.name] = self._came[member.name] = today
        return member

    async def _read(self, work: Callable[[sa.Connection], T], limiter: anyio.CapacityLimiter | None = None) -> T:
        def run() -> T:
            with self.db.read() as c:
                return work(c)

        return await anyio.to_thread.run_sync(run, limiter=limiter or self._readers)

    async def _write(self, work: Callable[[sa.Connection, int], T]) -> T:
        def run() -> T:
            with self.db.write() as c:
                return work(c, self._now())

        # Not to be given up in the middle: what was acknowledged is stored, and what is stored is acknowledged where anybody still listens.
        with anyio.CancelScope(shield=True):
            done = await anyio.to_thread.run_sync(run, limiter=self._writers)
        return done

    def _now(self) -> int:
        return int(self.clock() * 1_000_000)

    def _today(self) -> str:
        return datetime.fromtimestamp(self.clock(), UTC).date().isoformat()

    async def _sweeping(self) -> None:
        while True:
            try:
                await self._write(lambda c, now: self.db.sweep(c, self._today(), now) + self.matching.sweep(c, now))
            except sa.exc.SQLAlchemyError:
                _LOG.exception("sweep")
            await anyio.sleep(3600)

    async def _noting(self) -> None:
        while True:
            await anyio.sleep(_NOTED)
            try:
                await self._note()
            except sa.exc.SQLAlchemyError:
                _LOG.exception("reads and last use")

    async def _note(self) -> None:
        """Put down who came and who read how much since the last time: apart from the reading itself, which then waits for no writer."""
        days, self._came = self._came, {}
        reads, self._reads = self._reads, []
        if not days and not reads:
            return

        def work(c: sa.Connection, _: int) -> None:
            operate.used(c, days)
            for detail, at in reads:
                self.db.record(c, "read", detail, at)

        try:
            await self._write(work)
        except BaseException:
            self._came, self._reads = days | self._came, reads + self._reads
            raise

    def settle(self) -> bool:
        """Answer the matching of the days that are over; returns whether there was something to do."""
        return self.matching.settle(self._now())

    async def _answering(self) -> None:
        while True:
            try:
                await anyio.to_thread.run_sync(self.settle)
            except sa.exc.SQLAlchemyError:
                _LOG.exception("answers")
            await anyio.sleep(min(30.0, self.limits.answer_every / 4))

    async def _body(self, request: Request) -> bytes:
        parts, size = [], 0
        async for chunk in request.stream():
            size += len(chunk)
            if size > self.limits.body:
                raise Refused(413, "Too large", f"At most {self.limits.body} bytes; send fewer objects at a time.")
            parts.append(chunk)
        return b"".join(parts)

    async def _body_json(self, request: Request) -> Any:
        body = await self._body(request)
        return await anyio.to_thread.run_sync(_loads, body)

    # TAXII

    async def _discovery(self, request: Request, member: Member) -> Response:
        # Absolute, for clients that cannot resolve a path (4.1.1 allows both).
        root = (self.url or str(request.base_url)).rstrip("/") + "/api/"
        return _json({"title": "Stillwatch hub", "default": root, "api_roots": [root]})

    async def _root(self, request: Request, member: Member) -> Response:
        return _json({"title": "Stillwatch exchange", "versions": [MEDIA], "max_content_length": self.limits.body})

    async def _status(self, request: Request, member: Member) -> Response:
        ident = request.path_params["status"]
        found = await self._read(lambda c: self.db.status(c, ident, member.name, self._now()))
        if found is None:
            raise Refused(404, "Not found", "No such status, or it is older than a day.")
        return Response(found, media_type=MEDIA)

    async def _collections(self, request: Request, member: Member) -> Response:
        def work(c: sa.Connection) -> list[Any]:
            found = (self.db.collection(c, ident) for ident in sorted(member.rights))
            return [_resource(row, member) for row in found if row is not None and any(member.rights[row.id])]

        shown = await self._read(work)
        return _json({"collections": shown} if shown else {})

    async def _collection(self, request: Request, member: Member) -> Response:
        return _json(_resource(await self._known(request, member), member))

    async def _known(self, request: Request, member: Member, need: str = "") -> Any:
        named = request.path_params["collection"]
        found = await self._read(lambda c: self.db.collection(c, named))
        can = member.rights.get(found.id, (False, False)) if found is not None else (False, False)
        if not any(can):
            raise Refused(404, "Not found", "No such collection.")
        if (need == "read" and not can[0]) or (need == "write" and not can[1]):
            raise Refused(403, "Forbidden", f"You may not {need} this collection.")
        if need == "both" and not all(can):
            raise Refused(403, "Forbidden", "To delete, one must be allowed to read and to write.")
        return found

    async def _page(
        self, request: Request, member: Member, *, bodies: bool, ident: str = "", all_versions: bool = False
    ) -> tuple[list[Any], str | None, int]:
        """(rows, next, 0 or 1 whether the object is there at all)."""
        collection = await self._known(request, member, "read")
        asked = w = taxii.wanted(request.query_params.multi_items(), self.db.paging_key, request.url.path)
        if ident:
            w = Wanted((ident,), (), w.spec, ("all",) if all_versions else w.versions, w.at, w.added_after, w.after, w.limit)

        def work(c: sa.Connection) -> tuple[list[Any], int]:
            there = int(not ident or self.db.owner_of(c, collection.id, ident, self._today()) is not None)
            return self.db.page(c, collection.id, w, self._today(), bodies=bodies), there

        rows, there = await self._read(work)
        more = None
        if len(rows) > w.limit:
            rows = rows[: w.limit]
            more = taxii.next_token(rows[-1].seq, self.db.paging_key, request.url.path, asked)
        if rows and request.method != "HEAD":
            detail = {
                "member": member.name,
                "collection": collection.alias,
                "objects": len(rows),
                "first": rows[0].seq,
                "last": rows[-1].seq,
            }
            self._reads.append((detail, self._now()))
            self._served.inc(len(rows))
        return rows, more, there

    async def _manifest(self, request: Request, member: Member) -> Response:
        rows, more, _ = await self._page(request, member, bodies=False)
        return Response(taxii.manifest(rows, more), headers=_dates(rows), media_type=MEDIA)

    async def _get_objects(self, request: Request, member: Member) -> Response:
        rows, more, _ = await self._page(request, member, bodies=True)
        return Response(taxii.envelope([r.body for r in rows], more), headers=_dates(rows), media_type=MEDIA)

    async def _get_object(self, request: Request, member: Member) -> Response:
        rows, more, there = await self._page(request, member, bodies=True, ident=request.path_params["object"])
        if not there:
            raise Refused(404, "Not found", "No such object.")
        return Response(taxii.envelope([r.body for r in rows], more), headers=_dates(rows), media_type=MEDIA)

    async def _versions(self, request: Request, member: Member) -> Response:
        rows, more, there = await self._page(request, member, bodies=False, ident=request.path_params["object"], all_versions=True)
        if not there:
            raise Refused(404, "Not found", "No such object.")
        out: dict[str, Any] = {"more": True, "next": more} if more else {}
        if rows:
            out["versions"] = [r.version for r in rows]
        return Response(json.dumps(out).encode(), headers=_dates(rows), media_type=MEDIA)

    async def _post_objects(self, request: Request, member: Member) -> Response:
        collection = await self._known(request, member, "write")
        taxii.check_content_type(request.headers.get("content-type"))
        given = _objects(await self._body_json(request))

        today = date.fromisoformat(self._today())
        examined = await anyio.to_thread.run_sync(lambda: [_examined(o, member, today) for o in given])
        ident = str(uuid4())

        def store(c: sa.Connection, now: int) -> bytes:
            taken = [i for _, _, i in examined if isinstance(i, Incoming)]
            said = contribution.take_in(self.db, c, collection.id, member, taken, self.limits.caps, today, now)
            reasons = iter(said)
            final = [(i, v, next(reasons) if isinstance(got, Incoming) else got) for i, v, got in examined]
            answer = json.dumps(taxii.status_body(ident, now, final)).encode()
            self.db.save_status(c, ident, member.name, answer, now)
            stored = [[t.id, t.version, sha256(t.body).hexdigest()] for t, why in zip(taken, said, strict=True) if not why]
            detail = {
                "member": member.name,
                "collection": collection.alias,
                "status": ident,
                "stored": stored,
                "refused": [[i[:100], why[:200]] for i, _, why in final if why][:1000],
            }
            # What was stored is known to all members; who stored it, and what was refused, is not.
            self.db.record(c, "contribution", detail, now, {"objects": tree.digests_root([d for _, _, d in stored])})
            self._stored.inc(len(stored))
            self._refused.inc(len(final) - len(stored))
            return answer

        answer = await self._write(store)
        return Response(answer, 202, media_type=MEDIA)

    async def _delete_object(self, request: Request, member: Member) -> Response:
        collection = await self._known(request, member, "both")
        ident = request.path_params["object"]
        w = taxii.wanted(request.query_params.multi_items(), self.db.paging_key, request.url.path)
        versions = w.versions if "match[version]" in request.query_params else ("all",)

        def work(c: sa.Connection, now: int) -> None:
            owner = self.db.owner_of(c, collection.id, ident, self._today())
            if owner is None:
                raise Refused(404, "Not found", "No such object.")
            if owner != member.name:
                raise Refused(403, "Forbidden", "Only its owner may delete an object.")
            count = self.db.delete(c, collection.id, ident, Wanted(spec=w.spec, versions=versions, at=w.at))
            _, ended, newest = self.db.campaigns(c, collection.id, [ident]).get(ident, ("", "", b""))
            if ended == "revoked" and newest and b'"revoked":true' not in bytes(newest):
                raise Refused(403, "Forbidden", "It was taken back: the version that says so cannot go before the others.")
            if self.db.owner_of(c, collection.id, ident, self._today()) is None:
                self.db.end(c, collection.id, ident, member.name, now)
            else:
                detail = {"member": member.name, "collection": collection.alias, "id": ident, "versions": count}
                self.db.record(c, "versions-deleted", detail, now)

        await self._write(work)
        return Response(b"", 200, media_type=MEDIA)

    async def _nothing(self, request: Request, member: Member) -> Response:
        raise Refused(404, "Not found")

    # Keys, tokens, answers

    async def _keys(self, request: Request, member: Member) -> Response:
        """Every key that was ever enrolled, so that readers can check what is signed with it."""

        def row(k: Any) -> dict[str, object]:
            return {"key": k.id, "public": k.public.hex(), "retired": k.retired is not None, "since": k.enrolled // 1_000_000}

        def work(c: sa.Connection) -> tuple[dict[str, list[dict[str, object]]], dict[str, list[dict[str, Any]]]]:
            by_member: dict[str, list[dict[str, object]]] = {}
            for k in self.db.all_keys(c):
                by_member.setdefault(k.member, []).append(row(k))
            return by_member, {name: self.db.statements(c, name) for name in by_member}

        by_member, stated = await self._read(work)
        log_key = tree.verifier_key(self.origin, self.key.public_key())
        # Members are known to one another by their keys alone.
        return _json(
            {
                "log": log_key,
                "quorum": self.limits.quorum,
                "members": [{"keys": ks, "persons": stated[n]} for n, ks in sorted(by_member.items())],
            },
            _JSON,
        )

    async def _post_persons(self, request: Request, member: Member) -> Response:
        """Statements on the caller's persons, in order; those that are there already are passed over."""
        body = await self._body_json(request)
        given = body.get("statements") if isinstance(body, dict) else None
        if not isinstance(given, list) or len(given) > 1000 or not all(isinstance(g, dict) for g in given):
            raise Refused(422, "Unprocessable", "statements must be a list of at most 1,000 statements.")

        def work(c: sa.Connection, now: int) -> int:
            try:
                return self.db.state_persons(c, member.name, given, now)
            except wire.WireError as error:
                raise Refused(422, "Unprocessable", f"{error}.") from None

        return _json({"taken": await self._write(work)}, _JSON)

    async def _post_ledger(self, request: Request, member: Member) -> Response:
        """The head of a member's ledger, for the log: a ledger that is cut off later no longer fits."""
        body = await self._body_json(request)
        n, head = (body.get("n"), body.get("head")) if isinstance(body, dict) else (None, None)
        if (
            not isinstance(n, int)
            or isinstance(n, bool)
            or not 0 < n < 1 << 53
            or not isinstance(head, str)
            or not re.fullmatch("[0-9a-f]{64}", head)
        ):
            raise Refused(422, "Unprocessable", "Send n, the ledger's length, and head, the digest of its last entry.")
        await self._write(lambda c, now: self.db.record(c, "ledger-head", {"member": member.name, "n": n, "head": head}, now))
        return _json({}, _JSON)

    async def _ended(self, request: Request, member: Member) -> Response:
        """What owners deleted without revoking it, with the log's entry that says so."""
        after = request.query_params.get("after", "-1")
        if not re.fullmatch("-1|[0-9]{1,15}", after, re.ASCII):
            raise Refused(400, "Bad parameter", "after must be a whole number.")
        mine = [name for name, (can_read, _) in member.rights.items() if can_read]
        rows = await self._read(lambda c: self.db.ended(c, mine, int(after)))
        return _json({"ended": [{"id": r.id, "number": r.number} for r in rows]}, _JSON)

    async def _terms(self, request: Request, member: Member) -> Response:
        """What holds for batches: quorum, sizes, how far answers reach, and the key-holder's keys that the log names."""
        return _json(await self._read(self.matching.terms), _JSON)

    async def _post_tokens(self, request: Request, member: Member) -> Response:
        body = await self._body_json(request)
        try:
            batch = await anyio.to_thread.run_sync(self.matching.examine, body, member, self._today())
            return _json(await self._write(lambda c, now: self.matching.take_in(c, batch, member, now)), _JSON, 202)
        except quorum.QuorumError as error:
            raise Refused(error.status, "Refused", str(error)) from None

    async def _withdraw_tokens(self, request: Request, member: Member) -> Response:
        body = await self._body_json(request)
        tags = body.get("tags") if isinstance(body, dict) else None
        if not isinstance(tags, list) or len(tags) > MAX_OBJECTS or not all(isinstance(t, str) and _TAG.fullmatch(t) for t in tags):
            raise Refused(422, "Unprocessable", "tags must be a list of at most 10,000 tags, 32 digits of lower-case hex each.")
        try:
            return _json({"withdrawn": await self._write(lambda c, now: self.matching.withdraw(c, tags, member, now))}, _JSON)
        except quorum.QuorumError as error:
            raise Refused(error.status, "Refused", str(error)) from None

    async def _answers(self, request: Request, member: Member) -> Response:
        after = request.query_params.get("after", "0")
        if not after.isascii() or not after.isdigit() or len(after) > 15:
            raise Refused(400, "Bad parameter", "after must be a whole number.")
        try:
            found = await self._read(lambda c: self.matching.answers(c, member, int(after)))
        except quorum.QuorumError as error:
            raise Refused(error.status, "Refused", str(error)) from None
        await self._write(lambda c, now: self.matching.looked(c, member, now))
        return _json({"answers": found}, _JSON)

    # Operation

    async def _health(self, request: Request) -> Response:
        """Open to all: that the database answers, and the key of the log, which a member must see before it sends a token."""
        await self._read(lambda c: c.execute(sa.select(1)).scalar(), self._looking)
        return _json({"status": "ok", "log": tree.verifier_key(self.origin, self.key.public_key())}, _JSON)

    async def _restored(self, request: Request, member: Member) -> Response:
        """The hub's signed statements that a backup was put in place, oldest first."""
        return _json({"restored": await self._read(operate.restorations)}, _JSON)

    async def _metrics(self, request: Request, member: Member) -> Response:
        if member.role != "operator":
            raise Refused(403, "Forbidden", "Metrics are for the operator's role.")
        self._entries.set(await self._read(self.db.log_size))
        return Response(generate_latest(self.registry), media_type="text/plain; version=0.0.4; charset=utf-8")

    # The log

    async def _checkpoint(self, request: Request, member: Member) -> Response:
        """The newest checkpoint; ?witnessed gives the newest that members cosigned, with their lines."""

        def work(c: sa.Connection) -> tuple[int, bytes, list[str]]:
            if "witnessed" in request.query_params:
                size, lines = self.db.witnessed(c)
                return size, tree.root(size, lambda level, number: self.db.node(c, level, number)), lines
            return (*self.db.checkpoint(c), [])

        size, head, lines = await self._read(work)
        text = tree.checkpoint_text(self.origin, size, head)
        return Response(text + "\n" + tree.sign_note(text, self.origin, self.key) + "".join(lines), media_type="text/plain; charset=utf-8")

    async def _cosign(self, request: Request, member: Member) -> Response:
        note = (await self._body(request)).decode("utf-8", "replace")
        try:
            found = tree.verify_note(note, self.origin, self.key.public_key())
        except tree.LogError as error:
            raise Refused(422, "Unprocessable", str(error)) from None
        witness = next((k for k in member.keys if tree.witnesses(note, {k: member.publics[k]})), None)
        if witness is None:
            raise Refused(422, "Unprocessable", "No cosignature by one of your keys.")
        line = tree.cosignature_line(note, witness, member.publics[witness])  # that one alone, and in one spelling

        def work(c: sa.Connection, now: int) -> None:
            size, head = found.size, found.root
            if size > self.db.log_size(c) or tree.root(size, lambda level, number: self.db.node(c, level, number)) != head:
                raise Refused(409, "Conflict", "This hub has no such tree.")
            self.db.cosign(c, size, member.name, line)

        await self._write(work)
        return Response(b"", 200, media_type=_JSON)

    async def _cosigned(self, request: Request, member: Member) -> Response:
        """The newest head that each member cosigned, as a note with its line, so that members hold their views against one another's."""

        def work(c: sa.Connection) -> list[str]:
            notes = []
            for size, line in self.db.newest_cosignatures(c):
                text = tree.checkpoint_text(self.origin, size, tree.root(size, lambda level, number: self.db.node(c, level, number)))
                notes.append(text + "\n" + tree.sign_note(text, self.origin, self.key) + line)
            return notes

        return _json({"notes": await self._read(work)}, _JSON)

    async def _mine(self, request: Request, member: Member) -> Response:
        """The caller's own entries in full, so that it can check what the log says of it."""
        await self._note()
        after = request.query_params.get("after", "-1")
        if not after.removeprefix("-").isascii() or not after.removeprefix("-").isdigit() or len(after) > 15:
            raise Refused(400, "Bad parameter", "after must be a whole number.")

        def work(c: sa.Connection) -> list[dict[str, object]]:
            rows = self.db.entries_of(c, member.name, int(after), 1000)
            return [{"number": r.number, "entry": json.loads(r.entry), "salt": r.salt.hex(), "detail": json.loads(r.detail)} for r in rows]

        return _json({"entries": await self._read(work)}, _JSON)

    async def _tile(self, request: Request, member: Member) -> Response:
        try:
            kind, number, width = tree.read_tile_path("tile/" + request.path_params["rest"])
        except tree.LogError as error:
            raise Refused(404, "Not found", str(error)) from None

        def work(c: sa.Connection) -> bytes:
            size = self.db.log_size(c)
            begin = number * tree.TILE
            if kind == "entries":
                rows = self.db.entries(c, begin, begin + width)
                if len(rows) != width:
                    raise Refused(404, "Not found", "The log is not that long.")
                return tree.bundle(r.entry for r in rows)
            if begin + width > size >> 8 * int(kind):
                raise Refused(404, "Not found", "The log is not that long.")
            return self.db.tile(c, 8 * int(kind), begin, width)

        return Response(await self._read(work), media_type="application/octet-stream")


class _Slashed:
    """Let a path without its last slash mean the same as with it."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and not scope["path"].endswith("/"):
            scope = {**scope, "path": scope["path"] + "/"}
        await self._app(scope, receive, send)


def _json(value: object, media: str = MEDIA, status: int = 200) -> Response:
    return Response(json.dumps(value).encode(), status, media_type=media)


def _resource(row: Any, member: Member) -> dict[str, object]:
    can = member.rights[row.id]
    shown = {"id": row.id, "title": row.title, "alias": row.alias, "can_read": bool(can[0]), "can_write": bool(can[1])}
    return shown | {"media_types": ["application/stix+json;version=2.1"]}


def _dates(rows: list[Any]) -> dict[str, str]:
    if not rows:
        return {}
    return {"X-TAXII-Date-Added-First": taxii.time_text(rows[0].added), "X-TAXII-Date-Added-Last": taxii.time_text(rows[-1].added)}


def _examined(o: Any, member: Member, today: date) -> tuple[str, str, Incoming | str]:
    """(id, version, the object or why it is refused)."""
    named = (
        (str(o.get("id", "none"))[:200], str(o.get("modified", o.get("created", "none")))[:40]) if isinstance(o, dict) else ("none", "none")
    )
    try:
        return (*named, contribution.examine(o, member, today))
    except wire.WireError as error:
        return (*named, str(error))


def _loads(body: bytes) -> Any:
    """The value of a JSON body.

    Its objects are made by a function of Python's, so that other threads, the event loop first, have their turn while a big body is parsed: the parser
    alone would hold the interpreter's lock to the end.

    Raises:
        Refused: 400.
    """

    def constant(name: str) -> None:
        raise ValueError(f"{name} is not JSON")

    def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        made = dict(pairs)
        if len(made) != len(pairs):
            raise ValueError("an object gives a name twice")
        return made

    try:
        text = body.decode()
        value = json.loads(text, parse_constant=constant, object_pairs_hook=once)
        if _SUSPECT.search(text):
            _storable(value)
    except (ValueError, RecursionError) as error:
        raise Refused(400, "Bad request", f"The body is not JSON in UTF-8: {str(error)[:200]}") from None
    return value


def _storable(value: Any) -> None:
    left = [value]
    while left:
        one = left.pop()
        if isinstance(one, str) and _UNSTORABLE.search(one):
            raise ValueError("a string holds a null character or half of a surrogate pair")
        if isinstance(one, dict):
            left += [*one, *one.values()]
        elif isinstance(one, list):
            left += one


def _objects(given: Any) -> list[Any]:
    if not isinstance(given, dict) or not isinstance(given.get("objects"), list) or not given["objects"]:
        raise Refused(422, "Unprocessable", "An envelope must be an object with a list of objects that is not empty.")
    if len(given["objects"]) > MAX_OBJECTS:
        raise Refused(422, "Unprocessable", f"At most {MAX_OBJECTS} objects at a time.")
    objects: list[Any] = given["objects"]
    return objects
