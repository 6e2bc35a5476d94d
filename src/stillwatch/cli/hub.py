"""The hub on the command line: its operator's side."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Annotated

import sqlalchemy as sa
import typer
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from stillwatch.cli.console import say, stop
from stillwatch.cli.serving import CONNECTIONS, PER_ADDRESS, hand_over, log_as_json, serve
from stillwatch.share.desk.desk import DeskError, public_of, read_key, write_private
from stillwatch.share.hub import operate
from stillwatch.share.hub.contribution import MOST_CAMPAIGNS, MOST_NETWORKS, Caps
from stillwatch.share.hub.database import DAY, Database, HubError, open_database
from stillwatch.share.hub.server import Hub, Limits
from stillwatch.share.net.access import new_token

app = typer.Typer(add_completion=False, rich_markup_mode=None)
BehindProxy = Annotated[
    str | None,
    typer.Option(
        help="Address or network of the proxy that ends TLS; its X-Forwarded-For and -Proto are believed, and plain HTTP is served to it."
    ),
]
Expires = Annotated[int, typer.Option(min=1, help="Days that the token holds.")]
Db = Annotated[str, typer.Option("--db", help="SQLite file, or postgresql://USER:PASSWORD@HOST/NAME.", envvar="STILLWATCH_HUB_DB")]


def database_at(url: str) -> Database:
    """The hub's database, or the end of the command."""
    try:
        return Database(open_database(url))
    except (HubError, sa.exc.SQLAlchemyError) as error:
        stop(told(error))


def told(error: Exception) -> str:
    """What is wrong with a database, on one line."""
    if not isinstance(error, sa.exc.SQLAlchemyError):
        return str(error)
    why = str(getattr(error, "orig", None) or error).splitlines()[0][:300]
    return f"the database cannot be used: {why}; run stillwatch hub check, and if it is damaged take the last backup"


@contextmanager
def at_work(url: str, *, made_if_missing: bool = False) -> Iterator[Database]:
    """The hub's database, closed in the end; whatever is wrong with it or with what was asked of it ends the command with one line."""
    path = Path(url.removeprefix("sqlite:///"))
    if not made_if_missing and "://" not in str(path) and not path.exists():
        stop(f"{path}: no such database; hub serve makes one")
    database = database_at(url)
    try:
        yield database
    except (HubError, DeskError, sa.exc.SQLAlchemyError) as error:
        stop(told(error))
    finally:
        with suppress(sa.exc.SQLAlchemyError):
            database.close()


def signing_key(path: Path) -> Ed25519PrivateKey:
    """The key that signs the log, or the end of the command."""
    try:
        return read_key(path)
    except DeskError as error:
        stop(str(error))


def now() -> int:
    """Microseconds since the epoch."""
    return int(time.time() * 1_000_000)


@app.command("serve")
def serve_command(
    db: Db = "hub.db",
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=1, max=65535)] = 8470,
    origin: Annotated[str, typer.Option(help="The log's name: host and path, without scheme.")] = "hub.example/log",
    key: Annotated[Path, typer.Option(help="Key that signs the log; made on first use.")] = Path("hub.key"),
    quorum: Annotated[int, typer.Option(min=2, help="Owners that must have sent a trait before anybody is told.")] = 3,
    answer_every: Annotated[int, typer.Option(min=1, help="Seconds from answers to answers; less than a day makes an oracle.")] = 86_400,
    rate: Annotated[float, typer.Option(min=0.1, help="Requests a second that a member may make in the long run.")] = 50.0,
    max_body: Annotated[int, typer.Option(min=1024, help="Bytes of a request's body at most.")] = 16 * 1024 * 1024,
    certificate: Annotated[Path | None, typer.Option(help="TLS certificate chain (PEM).")] = None,
    certificate_key: Annotated[Path | None, typer.Option(help="Its key (PEM).")] = None,
    client_ca: Annotated[Path | None, typer.Option(help="Ask members for certificates of this authority (mutual TLS).")] = None,
    campaigns: Annotated[int, typer.Option(min=1, help="Campaigns that a member may release in thirty days.")] = MOST_CAMPAIGNS,
    networks: Annotated[int, typer.Option(min=1, help="Networks that all live campaigns of a member may name.")] = MOST_NETWORKS,
    behind_proxy: BehindProxy = None,
    url: Annotated[str | None, typer.Option(help="The hub's address as members write it. Default: what a request was sent to.")] = None,
    connections: Annotated[int, typer.Option(min=8, help="Connections open at a time.")] = CONNECTIONS,
    per_address: Annotated[int, typer.Option(min=4, help="Connections of one address at a time.")] = PER_ADDRESS,
) -> None:
    """Serve TAXII 2.1, the log and the answers at quorum."""
    if answer_every < 60 and host not in ("127.0.0.1", "::1", "localhost"):
        stop(
            f"--answer-every {answer_every}: at least 60 beyond loopback, and a day outside of trials: between answers nobody can try guesses"
        )
    log_as_json()
    if not key.exists():
        write_private(key, Ed25519PrivateKey.generate().private_bytes_raw())
    signing, database = signing_key(key), database_at(db)
    caps = Caps(networks, campaigns)
    limits = Limits(body=max_body, requests=rate, burst=10 * rate, caps=caps, quorum=quorum, answer_every=answer_every)
    try:
        app = Hub(database, origin=origin, key=signing, limits=limits, url=url).app()
        serve(app, host, port, certificate, certificate_key, client_ca, behind_proxy, connections, per_address)
    finally:
        database.close()


@app.command("enrol")
def enrol_command(
    name: Annotated[str, typer.Argument(help="The member.")],
    db: Db = "hub.db",
    public_key: Annotated[str | None, typer.Option(help="The member's public key, 64 hex digits; without one it can only read.")] = None,
    owner: Annotated[
        str | None, typer.Option(help="Who owns it; members of one owner count once in a quorum. Default: the member itself.")
    ] = None,
    role: Annotated[str, typer.Option(help="security, counsel or operator.")] = "security",
    collection: Annotated[str, typer.Option(help="Made if it is not there.")] = "signals",
    read_only: Annotated[bool, typer.Option("--read-only", help="May not contribute.")] = False,
    expires: Expires = 365,
    token_file: Annotated[Path | None, typer.Option(help="Write the token here (mode 0600) instead of printing it.")] = None,
) -> None:
    """Enrol a member; its token is shown once and only its hash is kept."""
    if role not in ("security", "counsel", "operator"):
        stop(f"--role: {role} is none of security, counsel, operator")
    token = new_token()
    with at_work(db, made_if_missing=True) as database:
        public = public_of(public_key) if public_key else None
        with database.write() as c:
            database.enrol(c, name, owner=owner or name, role=role, token=token, public=public, now=now(), until=now() + expires * DAY)
            ident = database.ensure_collection(c, collection, collection.capitalize(), now())
            if role != "operator":
                database.allow(c, name, ident, can_read=True, can_write=public is not None and not read_only, now=now())
    hand_over(name, token, token_file)


@app.command("revoke")
def revoke_command(name: Annotated[str, typer.Argument(help="The member.")], db: Db = "hub.db") -> None:
    """Shut a member out at once; what it signed stays verifiable."""
    with at_work(db) as database, database.write() as c:
        database.revoke(c, name, now())
    say(f"{name}: revoked")


@app.command("reinstate")
def reinstate_command(
    name: Annotated[str, typer.Argument(help="The member.")],
    db: Db = "hub.db",
    expires: Expires = 365,
    token_file: Annotated[Path | None, typer.Option(help="Write the token here (mode 0600) instead of printing it.")] = None,
) -> None:
    """Take a revoked member back, with the key it had and a new token."""
    token = new_token()
    with at_work(db) as database, database.write() as c:
        operate.reinstate(database, c, name, token, now(), now() + expires * DAY)
    hand_over(name, token, token_file)


@app.command("rotate")
def rotate_command(
    name: Annotated[str, typer.Argument(help="The member.")],
    db: Db = "hub.db",
    public_key: Annotated[str | None, typer.Option(help="A new signing key; the old one is retired.")] = None,
    overlap: Annotated[int, typer.Option(min=0, help="Hours that the old token is taken beside the new one; 0 where it was stolen.")] = 24,
    expires: Expires = 365,
    token_file: Annotated[Path | None, typer.Option(help="Write the token here (mode 0600) instead of printing it.")] = None,
) -> None:
    """Give a member a new token, and with --public-key a new signing key."""
    token = new_token()
    with at_work(db) as database:
        public = public_of(public_key) if public_key else None
        with database.write() as c:
            database.rotate(c, name, token, now(), until=now() + expires * DAY, overlap=overlap * DAY // 24)
            if public is not None:
                database.add_key(c, name, public, now())
    hand_over(name, token, token_file)
