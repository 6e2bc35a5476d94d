"""Identity becomes a keyed reference here, and nothing behind this room sees the identity itself.

A reference is HMAC-SHA-256 under a key of this installation: equal values give equal references in one installation, and nobody without the
key can test a guess.  Country, language and time zone are not read anywhere in ``intake``.
"""

from __future__ import annotations

import contextlib
import hmac
import ipaddress
import os
import re
import secrets
import stat
import unicodedata
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from stillwatch.watch.intake.errors import IntakeError

KEY_BYTES: Final = 32
_CACHE_ENTRIES: Final = 200_000
_TOKEN: Final = re.compile(r"[^\W\d_]+|\d+|[._+\-]|.", re.DOTALL)
_LONGEST_HASH: Final = 32
_NOBODY: Final = frozenset(("None", "none", "null", "NULL"))

Mail = tuple[str | None, str | None, str | None]
_NO_MAIL: Final[Mail] = (None, None, None)
_INTERNAL: Final = tuple(
    ipaddress.ip_network(n)
    for n in ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "127.0.0.0/8", "169.254.0.0/16", "fc00::/7", "fe80::/10", "::1/128")
)
_NAT64: Final = ipaddress.ip_network("64:ff9b::/96")
IP = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network


def load_or_create_key(path: Path) -> bytes:
    """Return the 32 bytes of the installation's key, creating the file (mode 0600) when it is missing.

    Raises IntakeError when the file has the wrong length, can be read by group or others, or cannot be read or written.
    """
    try:
        if not path.exists():
            _create_key(path)
        mode = path.stat().st_mode
        key = path.read_bytes()
    except OSError as error:
        raise IntakeError(f"{path}: cannot read or create the identity key ({error.strerror}); name a writable path for it") from error
    if os.name == "posix" and stat.S_IMODE(mode) & 0o077:
        raise IntakeError(f"{path}: the identity key can be read by other users; run: chmod 600 {path}")
    if len(key) != KEY_BYTES:
        raise IntakeError(
            f"{path}: an identity key has {KEY_BYTES} bytes, this file has {len(key)}; restore it from a backup or name another"
        )
    return key


def _create_key(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    handle = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(secrets.token_bytes(KEY_BYTES))
            file.flush()
            os.fsync(file.fileno())
        # A link fails when another process was faster, and never shows a half-written key, which O_EXCL on the final name could.
        with contextlib.suppress(FileExistsError):
            os.link(draft, path)
    finally:
        draft.unlink()


def mail_shape(local: str) -> str:
    """Coarse pattern of the local part of a mail address, which keeps no identity.

    Runs of letters become ``a`` and runs of digits ``9``, each with its length (1 to 9, ``+`` above); the separators ``. _ - +`` stay; any
    other character is ``?``.  A piece between separators in which letters and digits take turns three times or more looks like a
    hash and becomes ``x`` with its length (``x+`` above 32).

    >>> mail_shape("jane.doe")
    'a4.a3'
    >>> mail_shape("b371557")
    'a196'
    >>> mail_shape("25363e069")
    'x9'
    >>> mail_shape("wolfeschlegel_1987")
    'a+_94'
    >>> mail_shape("søren+news")
    'a5+a4'
    """
    out: list[str] = []
    piece: list[tuple[str, int]] = []

    def close() -> None:
        if len(piece) >= 3:
            total = sum(n for _, n in piece)
            out.append(f"x{total}" if total <= _LONGEST_HASH else "x+")
        else:
            out.extend(f"{sort}{n if n <= 9 else '+'}" for sort, n in piece)
        piece.clear()

    for run in _TOKEN.findall(local):
        if run[0].isalpha():
            piece.append(("a", len(run)))
        elif run[0].isdecimal():
            piece.append(("9", len(run)))
        else:
            close()
            out.append(run if run in "._-+" else "?")
    close()
    return "".join(out)


def canonical(value: str) -> str:
    """The one form of a trait's value that all labs come to before it is blinded: NFKC, no outer blanks, case folded.

    >>> canonical(" \uff23ARD-2 ")
    'card-2'
    """
    return unicodedata.normalize("NFKC", value).strip().casefold()


class Identity:
    """Makes keyed references.  Holds the key; share one per process.  Bounded memory: caches are emptied at 200,000 entries."""

    def __init__(self, key: bytes, *, remember: bool = False, trusted_proxies: int | Sequence[str] | None = None) -> None:
        """Take the 32-byte key.  Raises ValueError on another length, or for what is no network.

        With ``remember``, values can be asked back by their reference (``plain``), for the few that are blinded for matching; memory then grows.
        ``trusted_proxies`` is the number of one's own proxies before the gateway, or their networks (see ``address``).
        """
        if len(key) != KEY_BYTES:
            raise ValueError(f"an identity key has {KEY_BYTES} bytes, not {len(key)}")
        self._key = key
        self._refs: dict[tuple[str, str], str] = {}
        self._mails: dict[str, Mail] = {}
        self._addresses: dict[str, str | None] = {}
        self._hops = trusted_proxies if isinstance(trusted_proxies, int) else 0
        self._own: tuple[Network, ...] | None = None
        if self._hops < 0:
            raise ValueError("trusted_proxies is a number of proxies, not below 0")
        if trusted_proxies is not None and not isinstance(trusted_proxies, int):
            self._own = tuple(ipaddress.ip_network(n, strict=False) for n in trusted_proxies)
        self._plain: dict[str, str] | None = {} if remember else None

    @property
    def proxies_told(self) -> bool:
        """Whether own proxies were named, by number or network."""
        return self._own is not None or self._hops > 0

    def plain(self, ref: str) -> str | None:
        """The value behind a reference, where it was remembered."""
        return self._plain.get(ref) if self._plain is not None else None

    def __repr__(self) -> str:
        return "Identity(<key withheld>)"

    def ref(self, kind: str, value: str | None) -> str | None:
        """Return 32 hex digits for a value of a kind; None for a missing or blank one.  Outer white space does not count."""
        if value is None:
            return None
        found = self._refs.get((kind, value))
        if found is None:
            plain = value.strip()
            if not plain:
                return None
            found = self._digest(kind, plain)
            if len(self._refs) >= _CACHE_ENTRIES:
                self._refs.clear()
            self._refs[kind, value] = found
        return found

    def mail(self, value: str | None) -> Mail:
        """Return (mail_ref, mail_domain_ref, mail_shape).  Case and outer white space do not count; a ``+tag`` is kept.

        Without a local part and a domain only ``mail_ref`` is given.
        """
        if not value:
            return _NO_MAIL
        found = self._mails.get(value)
        if found is None:
            plain = value.strip().lower()
            local, _, domain = plain.rpartition("@")
            if not plain:
                found = _NO_MAIL
            elif local and domain:
                found = (self._digest("mail", plain), self._digest("mail-domain", domain), mail_shape(local))
            else:
                found = (self._digest("mail", plain), None, None)
            if len(self._mails) >= _CACHE_ENTRIES:
                self._mails.clear()
            self._mails[value] = found
        return found

    def address(self, value: str | None) -> str | None:
        """Return the reference of an address; None for what is no address.

        An IPv6 address counts by its /64, which one customer has for himself.  A port, brackets and a zone are dropped; an IPv4 address inside an IPv6
        one (mapped, NAT64, Teredo) counts as IPv4.

        A single address counts as it is.  Of a forwarding chain the left part is the client's own word, for each proxy adds on the right whom it saw:
        with a number n of own proxies the n-th from the right counts (the first of a shorter chain), with their networks the right-most that is in none
        of them, and with neither the right-most that is no internal address.
        """
        if not value:
            return None
        if value in self._addresses:
            return self._addresses[value]
        found = self._hop(value)
        made = None if found is None else self._digest("address", found)
        if len(self._addresses) >= _CACHE_ENTRIES:
            self._addresses.clear()
        self._addresses[value] = made
        return made

    def account(self, value: str | None) -> str | None:
        """Return the provider's account id as it is, or a keyed reference when it is a mail address; None for a missing one, also for the word
        that programs write for none.

        The id stays readable because the operator acts on it, and because it is a pseudonym already.
        """
        if value is None:
            return None
        plain = value.strip()
        if not plain or plain in _NOBODY:
            return None
        return f"m-{self._digest('account', plain.lower())}" if "@" in plain else plain

    def key_account(self, key_hash: str | None) -> str | None:
        """Return an account made of an API key's hash, for logs that name no user.  A key that was logged in clear is keyed first."""
        if key_hash is None:
            return None
        plain = key_hash.strip()
        if not plain:
            return None
        return self._digest("api-key", plain) if plain.startswith("sk-") else plain

    def _digest(self, kind: str, plain: str) -> str:
        message = kind.encode() + b"\0" + plain.encode("utf-8", "replace")
        made = hmac.digest(self._key, message, "sha256")[:16].hex()
        if self._plain is not None:
            self._plain[made] = plain
        return made

    def _hop(self, value: str) -> str | None:
        chain = [_ip(hop) for hop in value.split(",")]
        chosen: IP | None
        if self._own is None and self._hops:
            chosen = chain[max(0, len(chain) - self._hops)]
        else:
            mine = _INTERNAL if self._own is None else self._own
            # All hops inside: own networks were passed on the way from the left, of unknown ones only the neighbour's word counts.
            chosen = chain[-1 if self._own is None else 0]
            for hop in reversed(chain):
                if hop is None or not any(hop in network for network in mine):
                    chosen = hop  # an unreadable hop hides what is left of it, which the client may have written
                    break
        if chosen is None:
            return None
        return chosen.compressed if chosen.version == 4 else ipaddress.ip_network((chosen, 64), strict=False).compressed


def _ip(hop: str) -> IP | None:
    plain = hop.strip()
    if "=" in plain:  # one hop of RFC 7239: for="[2001:db8::1]:80";proto=https
        named = dict(pair.strip().partition("=")[::2] for pair in plain.lower().split(";"))
        plain = named.get("for", "").strip('"')
    if plain.startswith("["):
        plain = plain[1:].partition("]")[0]
    elif plain.count(":") == 1:
        plain = plain.partition(":")[0]
    try:
        address = ipaddress.ip_address(plain.partition("%")[0])
    except ValueError:
        return None
    if isinstance(address, ipaddress.IPv6Address):
        inner = address.ipv4_mapped or (address.teredo[1] if address.teredo else None)
        if inner is None and address in _NAT64:
            inner = ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
        return inner or address
    return address
