"""Who is asking and over what: tokens, addresses, and what a client does with an answer that it may not believe."""

from __future__ import annotations

import base64
import binascii
import json
import secrets
import ssl
from hashlib import sha256
from ipaddress import IPv6Address, ip_address
from typing import Final
from urllib.parse import urlsplit

import httpx2

#: TAXII 2.1's media type.
MEDIA: Final = "application/taxii+json;version=2.1"


class ClientError(ValueError):
    """The server cannot be reached, refuses, or answers what it may not; the message says what to do."""


def plain_is_local(url: str) -> None:
    """Hold an address to https, or to this very machine: over plain HTTP anybody on the way reads the token and is the member from then on.

    Raises:
        ClientError: it is neither.
    """
    parts = urlsplit(url)
    if parts.scheme == "https" or (parts.scheme == "http" and is_loopback(parts.hostname or "")):
        return
    if parts.scheme == "http":
        raise ClientError(f"{url}: plain HTTP would show the token to everybody on the way; give the https:// address")
    raise ClientError(f"{url}: not an address such as https://hub.example")


def is_loopback(host: str) -> bool:
    """Whether a host is this machine: ``localhost``, or an address of the loopback."""
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


def connection(url: str, *, timeout: float, ca: str | None = None, certificate: str | None = None, key: str | None = None) -> httpx2.Client:
    """A client for one server.

    Args:
        url: its address.
        timeout: seconds to wait for it.
        ca: PEM file with the authorities to believe instead of the system's.
        certificate: PEM file with our own certificate, for a server that asks for one.
        key: PEM file with its key; None where the certificate's file holds it too.

    Raises:
        ClientError: plain HTTP to another machine; or a file that cannot be used.
    """
    plain_is_local(url)
    verify: ssl.SSLContext | bool = True
    if ca or certificate:
        at = ca or ""
        try:
            verify = ssl.create_default_context(cafile=ca)
            if certificate:
                at = certificate
                verify.load_cert_chain(certificate, key)
        except (OSError, ssl.SSLError) as error:
            raise ClientError(f"{at}: {error.strerror or error}; give PEM files, the certificate and its key") from None
    return httpx2.Client(timeout=timeout, verify=verify)


def error_body(status: int, title: str, description: str = "") -> bytes:
    """TAXII's error message (3.6.1), which all of our servers send."""
    return json.dumps({"title": title, **({"description": description} if description else {}), "http_status": str(status)}).encode()


def network_of(address: str) -> str:
    """What is counted as one address: IPv4 by address, IPv6 by /64, of which anybody has all."""
    try:
        found = ip_address(address.partition("%")[0])
    except ValueError:
        return address
    if isinstance(found, IPv6Address):
        return str(found.ipv4_mapped) if found.ipv4_mapped else str(IPv6Address(int(found) >> 64 << 64))
    return address


def read_authorization(header: str | None) -> str | None:
    """The token of a Bearer header, or the password of a Basic one."""
    scheme, _, rest = (header or "").strip().partition(" ")
    rest = rest.strip()
    if scheme.lower() == "bearer" and rest:
        return rest
    if scheme.lower() == "basic":
        try:
            return base64.b64decode(rest, validate=True).decode().partition(":")[2] or None
        except (binascii.Error, UnicodeDecodeError, ValueError):
            return None
    return None


def new_token() -> str:
    """A member's token: 256 random bits."""
    return "swh_" + secrets.token_urlsafe(32)


def hashed(token: str) -> str:
    """SHA-256 of a token: tokens are random, so nothing slower is needed."""
    return sha256(token.encode()).hexdigest()
