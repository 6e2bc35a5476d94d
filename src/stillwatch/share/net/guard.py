"""What a server asks of a request before its application sees it, and of an answer before a client does.

Wrong tokens are counted by address and no request costs a look into the database once there were too many; whatever goes wrong is answered in JSON.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping
from hashlib import sha256
from math import ceil
from typing import Final

from limits import RateLimitItemPerSecond
from limits.storage import MemoryStorage
from limits.strategies import FixedWindowRateLimiter, MovingWindowRateLimiter
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from stillwatch.share.net.access import error_body, network_of

_LOG: Final = logging.getLogger("stillwatch.net")
#: 401s that one address is given in a minute; then it is told to wait.
WRONG_TOKENS: Final = 30
#: Addresses, and tokens known to be good, that are kept in memory at most.
_REMEMBERED: Final = 10_000
_TITLES: Final = {400: "Bad request", 404: "Not found", 405: "Method not allowed", 500: "Error"}


class Rate:
    """How often each member may ask, counted in windows of ``burst / rate`` seconds."""

    def __init__(self, rate: float, burst: float) -> None:
        self._storage = MemoryStorage()
        self._limiter = MovingWindowRateLimiter(self._storage)
        # Whole seconds and whole requests are what the library counts in.
        seconds = max(1, round(burst / rate))
        self._item = RateLimitItemPerSecond(max(1, round(rate * seconds)), seconds)

    def take(self, who: str) -> int:
        """0, or whole seconds to wait."""
        if self._limiter.hit(self._item, who):
            return 0
        return max(1, ceil(self._limiter.get_window_stats(self._item, who).reset_time - time.time()))


class Guard:
    """An ASGI application in front of another.

    A token that was answered before is let through whatever else its address sends, so that nobody locks out those he shares an address with.
    """

    def __init__(self, app: ASGIApp, media: str = "application/json", wrong: int = WRONG_TOKENS) -> None:
        self._app, self._media = app, media
        self._storage = MemoryStorage()
        self._limiter, self._item = FixedWindowRateLimiter(self._storage), RateLimitItemPerSecond(wrong, 60)
        self._good: dict[bytes, None] = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer, or have the application answer."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        address = network_of((scope.get("client") or ("unknown", 0))[0])
        given = next((v for n, v in scope["headers"] if n == b"authorization"), None)
        token = sha256(given).digest() if given is not None else None
        # Without a token nothing is looked up, and health is for everybody.
        if token is not None and token not in self._good and not self._limiter.test(self._item, address):
            wait = max(1, ceil(self._limiter.get_window_stats(self._item, address).reset_time - time.time()))
            _LOG.warning("too many wrong tokens", extra={"data": {"address": address}})
            body = error_body(429, "Too many requests", "Too many wrong tokens came from this address; try again later.")
            await self._answer(send, 429, body, [(b"retry-after", str(wait).encode()), (b"connection", b"close")])
            return
        answer = _Answer(self, send)
        try:
            await self._app(scope, receive, answer)
        except Exception:
            _LOG.exception("fault")
            if answer.status is not None:
                raise  # half an answer is out: the connection must not go on as if it were whole
            await self._answer(send, 500, error_body(500, _TITLES[500]))
            return
        self._learn(answer.status, token, address)

    def _learn(self, status: int | None, token: bytes | None, address: str) -> None:
        if token is None or status is None:
            return
        if status == 401:
            self._good.pop(token, None)
            if len(self._storage.storage) >= _REMEMBERED:
                self._storage.reset()
            self._limiter.hit(self._item, address)
        elif status < 400 and token not in self._good:
            if len(self._good) >= _REMEMBERED:
                self._good.pop(next(iter(self._good)))
            self._good[token] = None

    async def _answer(self, send: Send, status: int, body: bytes, headers: list[tuple[bytes, bytes]] | None = None) -> None:
        head = [(b"content-type", self._media.encode()), (b"content-length", str(len(body)).encode()), *(headers or [])]
        await send({"type": "http.response.start", "status": status, "headers": head})
        await send({"type": "http.response.body", "body": body})


class _Answer:
    """Passes an answer on; an error that is not JSON, as frameworks make them, becomes our form of it."""

    def __init__(self, guard: Guard, send: Send) -> None:
        self.status: int | None = None
        self._guard, self._send, self._replaced = guard, send, False

    async def __call__(self, message: Message) -> None:
        """Pass on a part of the answer."""
        if message["type"] == "http.response.start":
            self.status = message["status"]
            headers: Mapping[bytes, bytes] = dict(message.get("headers", ()))
            if self.status >= 400 and b"json" not in headers.get(b"content-type", b""):
                self._replaced = True
                kept = [(n, v) for n, v in headers.items() if n in (b"allow", b"retry-after", b"www-authenticate")]
                await self._guard._answer(self._send, self.status, error_body(self.status, _TITLES.get(self.status, "Error")), kept)
                return
        if not self._replaced:
            await self._send(message)
