"""What the hub's and the key-holder's commands share: logs, sockets, tokens given out."""

from __future__ import annotations

import json
import logging
import signal
import socket
import ssl
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import partial
from ipaddress import ip_network
from pathlib import Path
from typing import Any, Final

import uvicorn

from stillwatch.cli.console import say, stop
from stillwatch.share.desk.desk import write_private
from stillwatch.share.net.access import is_loopback
from stillwatch.share.net.gate import HEAD_BYTES, TURN, Gate, Protocol, Server
from stillwatch.share.net.guard import Guard

#: Loggers that strangers can make speak: one line a second each.
_STRANGERS: Final = ("asyncio", "uvicorn.error", "stillwatch.net")
#: Connections at a time, in all and of one address.
CONNECTIONS: Final = 1000
PER_ADDRESS: Final = 100


class _Lines(logging.Formatter):
    """One JSON object a line; never headers, tokens or bodies."""

    def format(self, record: logging.LogRecord) -> str:
        at = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
        told: dict[str, Any] = {"at": at, "level": record.levelname.lower(), "event": record.getMessage(), **getattr(record, "data", {})}
        if record.exc_info and record.exc_info[0]:
            told["error"] = record.exc_info[0].__name__
        return json.dumps(told)


class _OneASecond(logging.Filter):
    """Lets a logger of strangers' doings warn once a second, and says how many warnings it kept back."""

    def __init__(self) -> None:
        super().__init__()
        self._last: dict[str, tuple[float, int]] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        if record.levelno < logging.WARNING or record.name not in _STRANGERS:
            return True
        last, kept = self._last.get(record.name, (-1.0, 0))
        now = time.monotonic()
        if last >= 0 and now - last < 1:
            self._last[record.name] = (last, kept + 1)
            return False
        self._last[record.name] = (now, 0)
        if kept:
            record.data = {**getattr(record, "data", {}), "and_more": kept}
        return True


def log_as_json() -> None:
    """Send all logs to standard error, a JSON object a line."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_Lines())
    handler.addFilter(_OneASecond())
    root = logging.getLogger()
    root.handlers, root.level = [handler], logging.INFO
    for noisy in ("alembic", "uvicorn.access"):
        logging.getLogger(noisy).setLevel(logging.WARNING)


class _Server(Server):
    """Ends well on SIGTERM: uvicorn would raise it again once all is done, and the process would die of it before its database is closed."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        with super().capture_signals():
            yield
            self._captured_signals = [s for s in self._captured_signals if s != signal.SIGTERM]


def serve(
    app: Any,
    host: str,
    port: int,
    certificate: Path | None,
    certificate_key: Path | None,
    client_ca: Path | None,
    behind_proxy: str | None = None,
    connections: int = CONNECTIONS,
    per_address: int = PER_ADDRESS,
) -> None:
    """Serve until SIGTERM or Ctrl-C, with TLS where a certificate is given.

    Args:
        behind_proxy: the address or network of a proxy that ends TLS; what it says of whom it speaks for is believed.
        connections: open at a time.
        per_address: of one address at a time.
    """
    if client_ca is not None and certificate is None:
        stop("--client-ca needs --certificate and --certificate-key")
    if certificate is None and not is_loopback(host) and behind_proxy is None:
        stop(
            f"--host {host}: plain HTTP beyond this machine shows every token; give --certificate, or --behind-proxy ADDRESS for a proxy that ends TLS"
        )
    try:
        proxy = ip_network(behind_proxy) if behind_proxy is not None else None
    except ValueError:
        stop(f"--behind-proxy {behind_proxy}: give the proxy's address, such as 127.0.0.1, or its network, such as 10.88.0.0/16")
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        gate = Gate(family[0], connections, per_address, proxy)
        gate.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        gate.bind(family[4])
        gate.setblocking(False)
    except OSError as error:
        stop(f"{host}:{port}: {error.strerror or error}")
    config = uvicorn.Config(
        app if isinstance(app, Guard) else Guard(app),
        http=partial(Protocol, gate),  # type: ignore[arg-type]
        ws="none",
        loop="asyncio",
        backlog=TURN,
        h11_max_incomplete_event_size=HEAD_BYTES,
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=behind_proxy is not None,
        forwarded_allow_ips=behind_proxy,
        timeout_graceful_shutdown=30,
        ssl_certfile=certificate,
        ssl_keyfile=certificate_key,
        ssl_ca_certs=str(client_ca) if client_ca else None,
        ssl_cert_reqs=ssl.CERT_REQUIRED if client_ca else ssl.CERT_NONE,
    )
    # A worker that computes gives way to the event loop within a thousandth of a second; the usual five add up over a request's turns.
    sys.setswitchinterval(0.001)
    try:
        config.load()
    except (OSError, ssl.SSLError) as error:
        stop(f"{certificate}: {error.strerror or error}; give PEM files, the certificate's chain and its key")
    logging.getLogger("stillwatch.hub").info("listening", extra={"data": {"host": host, "port": port, "tls": certificate is not None}})
    _Server(config, gate).run(sockets=[gate])


def hand_over(name: str, token: str, token_file: Path | None) -> None:
    """Give a token out, once."""
    if token_file:
        write_private(token_file, token.encode())
        say(f"{name}: token in {token_file}")
    else:
        say(f"{name}: token {token}")
