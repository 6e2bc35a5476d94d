"""Connections before anybody has said who he is: how many, from where, and how long they may take to say what they want.

uvicorn waits for a head or a body for ever, and where accept() fails for want of file descriptors asyncio calls it as often as the backlog is long, with a
line in the log for each.  So the listening socket counts: a newcomer who finds no room takes that of the connection that has kept the server waiting
longest, and only where all are at work is it sent away.
"""

from __future__ import annotations

import errno
import logging
import os
import resource
import socket
import time
from asyncio import TimerHandle, Transport
from collections import Counter, defaultdict
from contextlib import suppress
from ipaddress import IPv4Network, IPv6Network, ip_address
from typing import Any, Final

import h11
import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from stillwatch.share.net.access import error_body, network_of

_LOG: Final = logging.getLogger("stillwatch.net")
#: Seconds from the connection, its TLS handshake included, or from the last answer, to the end of a request's head.
HEAD_SECONDS: Final = 10.0
#: A body must bring so many bytes in so many seconds.
BODY_BYTES: Final = 10 * 1024
BODY_SECONDS: Final = 10.0
#: Bytes of a request's head.
HEAD_BYTES: Final = 32 * 1024
#: Connections taken in one turn of the loop; file descriptors are freed only between turns.
TURN: Final = 32
#: File descriptors that are left to the database and the rest of the process.
_SPARED: Final = 80
_NO_ROOM: Final = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})


class _Connection(socket.socket):
    """An accepted socket that tells its gate when it is closed."""

    gate: Gate
    peer: Any
    network: str

    def close(self) -> None:
        """Close, and make room at the gate."""
        gate = getattr(self, "gate", None)
        if gate is not None:
            gate.left(self)
        super().close()

    def drop(self) -> None:
        """End it; the event loop sees the end of the stream and closes."""
        with suppress(OSError):  # it has gone already
            self.shutdown(socket.SHUT_RDWR)


class Gate(socket.socket):
    """A listening socket that bounds connections.

    Args:
        total: connections at a time; less where the process may not open so many files.
        per_address: of one address at a time.
        proxy: a network whose addresses stand for many.
    """

    def __init__(self, family: int, total: int, per_address: int, proxy: IPv4Network | IPv6Network | None = None) -> None:
        super().__init__(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)  # named, or asyncio leaves Nagle's delay on
        files = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
        self.total = total if files == resource.RLIM_INFINITY else max(8, min(total, files - _SPARED - TURN))
        self.per_address, self.proxy = per_address, proxy
        self._open: dict[Any, _Connection] = {}
        self._of: Counter[str] = Counter()
        # Those that keep us waiting, longest first; all together and by address.
        self._waiting: dict[_Connection, float] = {}
        self._waiting_of: defaultdict[str, dict[_Connection, None]] = defaultdict(dict)
        self._spare = os.open(os.devnull, os.O_RDONLY)

    def listen(self, backlog: int = 0) -> None:
        """Listen; the loop's own figure says how many it accepts in a turn, and the kernel may queue more than that."""
        super().listen(socket.SOMAXCONN)

    def accept(self) -> tuple[socket.socket, Any]:
        """The next connection there is room for."""
        while True:
            try:
                handle, peer = self._accept()  # type: ignore[attr-defined]
            except OSError as error:
                if error.errno not in _NO_ROOM:
                    raise
                self._turn_away()
                continue
            made = _Connection(self.family, self.type, self.proto, fileno=handle)
            made.network = network_of(peer[0])
            if not self._room_for(made.network, self.proxy is not None and ip_address(peer[0].partition("%")[0]) in self.proxy):
                _LOG.warning("too many connections", extra={"data": {"address": made.network, "open": len(self._open)}})
                made.close()
                continue
            made.gate, made.peer, self._open[peer] = self, peer, made
            self._of[made.network] += 1
            self._wait(made)
            return made, peer

    def _turn_away(self) -> None:
        """Without a file descriptor nothing can be accepted, not even to be closed: one is kept for that."""
        os.close(self._spare)
        try:
            os.close(self._accept()[0])  # type: ignore[attr-defined]
        finally:
            self._spare = os.open(os.devnull, os.O_RDONLY)
        _LOG.warning("no file descriptors left", extra={"data": {"open": len(self._open)}})

    def _room_for(self, network: str, for_many: bool) -> bool:
        if not for_many and self._of[network] >= self.per_address:
            oldest = next(iter(self._waiting_of.get(network, ())), None)
        elif len(self._open) >= self.total:
            oldest = next(iter(self._waiting), None)
        else:
            return True
        if oldest is None:
            return False
        self._drop(oldest)
        return True

    def _wait(self, connection: _Connection) -> None:
        self._waiting[connection] = time.monotonic()
        self._waiting_of[connection.network][connection] = None

    def _no_longer_waiting(self, connection: _Connection) -> None:
        self._waiting.pop(connection, None)
        some = self._waiting_of.get(connection.network)
        if some is not None:
            some.pop(connection, None)
            if not some:
                del self._waiting_of[connection.network]

    def left(self, connection: _Connection) -> None:
        """A connection was closed."""
        if self._open.get(connection.peer) is connection:
            del self._open[connection.peer]
            self._of[connection.network] -= 1
            if not self._of[connection.network]:
                del self._of[connection.network]
        self._no_longer_waiting(connection)

    def idle(self, peer: Any) -> None:
        """A connection's request was answered: it may be asked for its next, or for its place."""
        if (connection := self._open.get(peer)) is not None:
            self._no_longer_waiting(connection)
            self._wait(connection)

    def busy(self, peer: Any) -> None:
        """A connection's head is whole: we are at work for it."""
        if (connection := self._open.get(peer)) is not None:
            self._no_longer_waiting(connection)

    def sweep(self) -> None:
        """Close those that have kept us waiting too long."""
        late = time.monotonic() - HEAD_SECONDS
        while self._waiting and (oldest := next(iter(self._waiting))) and self._waiting[oldest] <= late:
            self._drop(oldest)

    def _drop(self, connection: _Connection) -> None:
        self._no_longer_waiting(connection)
        connection.drop()
        _LOG.warning("a connection that asked nothing was closed", extra={"data": {"address": connection.network, "open": len(self._open)}})

    def close(self) -> None:
        """Stop listening."""
        if self._spare >= 0:
            os.close(self._spare)
            self._spare = -1
        super().close()


class Protocol(H11Protocol):
    """uvicorn's, which tells the gate whom it waits for, bounds slow bodies, and says in JSON what it cannot read."""

    def __init__(self, gate: Gate, **more: Any) -> None:
        super().__init__(**more)
        self._gate = gate
        self._peer: Any = None
        self._clock: TimerHandle | None = None
        self._came = 0
        self._ours = False  # the application did not read on: the client could not send

    def connection_made(self, transport: Transport) -> None:  # type: ignore[override]
        """Know whose connection it is."""
        self._peer = transport.get_extra_info("peername")
        super().connection_made(transport)

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop its clock."""
        if self._clock is not None:
            self._clock.cancel()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Count what came."""
        self._came += len(data)
        super().data_received(data)
        self._see()

    def on_response_complete(self) -> None:
        """Wait for its next request."""
        super().on_response_complete()
        if self.conn.our_state is h11.IDLE:
            self._gate.idle(self._peer)
        self._see()

    def _see(self) -> None:
        state = self.conn.their_state
        if state is not h11.IDLE:
            self._gate.busy(self._peer)
        self._ours = self._ours or self.flow.read_paused
        if state is h11.SEND_BODY and self._clock is None:
            self._came = 0
            self._clock = self.loop.call_later(BODY_SECONDS, self._look)

    def _look(self) -> None:
        self._clock = None
        if self.conn.their_state is not h11.SEND_BODY or self.transport.is_closing():
            return
        answered = self.cycle is None or self.cycle.response_complete
        if answered or (self._came < BODY_BYTES and not self._ours and not self.flow.read_paused):
            _LOG.warning("a slow body", extra={"data": {"address": network_of(self._peer[0]) if self._peer else None}})
            self.transport.abort()
            return
        self._came, self._ours = 0, self.flow.read_paused
        self._clock = self.loop.call_later(BODY_SECONDS, self._look)

    def _unsupported_upgrade_warning(self) -> None:
        pass  # an upgrade that is not taken is answered as any request; the log is not the client's to fill

    def send_400_response(self, msg: str) -> None:
        """Say that this is no HTTP."""
        body = error_body(400, "Bad request", msg)
        head = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode()), (b"connection", b"close")]
        for event in (h11.Response(status_code=400, headers=head, reason=b"Bad Request"), h11.Data(data=body), h11.EndOfMessage()):
            self.transport.write(self.conn.send(event) or b"")
        self.transport.close()


class Server(uvicorn.Server):
    """uvicorn's server with a gate that is swept."""

    def __init__(self, config: uvicorn.Config, gate: Gate) -> None:
        super().__init__(config)
        self._gate = gate

    async def on_tick(self, counter: int) -> bool:
        """Ten times a second."""
        self._gate.sweep()
        return await super().on_tick(counter)
