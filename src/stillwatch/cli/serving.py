"""What the hub's and the key-holder's commands share: logs, sockets, tokens given out."""

from __future__ import annotations

import json
import logging
import ssl
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import uvicorn

from stillwatch.cli.console import say, stop
from stillwatch.share.desk.desk import write_private


class _Lines(logging.Formatter):
    """One JSON object a line; never headers, tokens or bodies."""

    def format(self, record: logging.LogRecord) -> str:
        at = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
        told: dict[str, Any] = {"at": at, "level": record.levelname.lower(), "event": record.getMessage(), **getattr(record, "data", {})}
        if record.exc_info and record.exc_info[0]:
            told["error"] = record.exc_info[0].__name__
        return json.dumps(told)


def log_as_json() -> None:
    """Send all logs to standard error, a JSON object a line."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_Lines())
    root = logging.getLogger()
    root.handlers, root.level = [handler], logging.INFO
    for noisy in ("alembic", "uvicorn.access"):
        logging.getLogger(noisy).setLevel(logging.WARNING)


def serve(app: Any, host: str, port: int, certificate: Path | None, certificate_key: Path | None, client_ca: Path | None) -> None:
    """Serve until SIGTERM or Ctrl-C, with TLS where a certificate is given."""
    if client_ca is not None and certificate is None:
        stop("--client-ca needs --certificate and --certificate-key")
    if certificate is None and host not in ("127.0.0.1", "::1", "localhost"):
        logging.getLogger("stillwatch.hub").warning(
            "listening beyond loopback without TLS: put a proxy that ends TLS in front, or give --certificate"
        )
    uvicorn.run(
        app,
        host=host,
        port=port,
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=30,
        ssl_certfile=certificate,
        ssl_keyfile=certificate_key,
        ssl_ca_certs=str(client_ca) if client_ca else None,
        ssl_cert_reqs=ssl.CERT_REQUIRED if client_ca else ssl.CERT_NONE,
    )


def hand_over(name: str, token: str, token_file: Path | None) -> None:
    """Give a token out, once."""
    if token_file:
        write_private(token_file, token.encode())
        say(f"{name}: token in {token_file}")
    else:
        say(f"{name}: token {token}")
