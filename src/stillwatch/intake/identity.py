"""Identity -> keyed references.

A reference is HMAC-SHA-256 under a local key, cut to 16 bytes.  Without the key nobody can test a guess, and two labs' references never match.
"""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
import os
import re
import secrets
import stat
from pathlib import Path
from typing import Final

from stillwatch.intake.quarantine import IntakeError

KEY_BYTES: Final = 32
_CACHE: Final = 1 << 18
_RUNS: Final = re.compile(r"[^\W\d_]+|\d+|.", re.DOTALL)


def load_or_create_key(path: Path) -> bytes:
    """The local key; made on first use with mode 0600.

    Raises:
        IntakeError: others can read the file, or it does not hold 32 bytes.
    """
    try:
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        mode = stat.S_IMODE(path.stat().st_mode)
        if mode & 0o077:
            raise IntakeError(f"{path}: the identity key can be read by others (mode {mode:04o}); run: chmod 600 {path}") from None
        key = path.read_bytes()
        if len(key) != KEY_BYTES:
            raise IntakeError(f"{path}: holds {len(key)} bytes, not the {KEY_BYTES} of an identity key; name another file with --key") from None
        return key
    except OSError as error:
        raise IntakeError(f"{path}: cannot make the identity key: {error.strerror}; name another file with --key") from error
    key = secrets.token_bytes(KEY_BYTES)
    with os.fdopen(handle, "wb") as file:
        file.write(key)
        file.flush()
        os.fsync(file.fileno())
    return key


def mail_shape(local: str) -> str:
    """Pattern of a mail's local part that keeps no name: runs of letters and of digits with their lengths.

    >>> mail_shape("b371557"), mail_shape("jane.doe"), mail_shape("25363e069"), mail_shape("a1b2c3d4")
    ('a196', 'a4.a3', '95a193', 'x8')
    """
    runs = _RUNS.findall(local.lower())
    if sum(r[0].isalnum() for r in runs) > 3:
        return f"x{len(local)}"
    return "".join((("9" if r[0].isdigit() else "a") + (str(len(r)) if len(r) < 10 else "+")) if r[0].isalnum() else r for r in runs)


class Identity:
    """Turns what identifies somebody into keyed references; remembers what it has seen for speed.

    Args:
        key: 32 bytes from ``load_or_create_key``.
    """

    def __init__(self, key: bytes) -> None:
        self._key = key
        self._refs: dict[tuple[str, str], str] = {}
        self._mails: dict[str, tuple[str | None, str | None, str | None]] = {}
        self._addresses: dict[str, tuple[str | None, str | None]] = {}

    def ref(self, kind: str, value: str | None) -> str | None:
        """Reference of a value within its kind; None for an empty value."""
        if not value:
            return None
        known = self._refs.get((kind, value))
        if known is None:
            known = hmac.new(self._key, f"{kind}\0{value}".encode("utf-8", "replace"), hashlib.sha256).hexdigest()[:32]
            if len(self._refs) < _CACHE:
                self._refs[kind, value] = known
        return known

    def mail(self, value: str | None) -> tuple[str | None, str | None, str | None]:
        """(mail_ref, mail_domain_ref, mail_shape); Nones for what is no mail address."""
        if not value or "@" not in value:
            return None, None, None
        known = self._mails.get(value)
        if known is None:
            whole = value.strip().lower()
            local, _, domain = whole.rpartition("@")
            known = (self.ref("mail", whole), self.ref("mail-domain", domain), mail_shape(local))
            if len(self._mails) < _CACHE:
                self._mails[value] = known
        return known

    def address(self, value: str | None) -> tuple[str | None, str | None]:
        """(address_ref, network_ref) with the /24 of IPv4 and the /48 of IPv6; Nones for what is no address."""
        if not value:
            return None, None
        known = self._addresses.get(value)
        if known is None:
            known = self._address(value)
            if len(self._addresses) < _CACHE:
                self._addresses[value] = known
        return known

    def _address(self, value: str) -> tuple[str | None, str | None]:
        text = value.split(",")[0].strip()
        if text.startswith("["):
            text = text[1:].partition("]")[0]
        elif text.count(":") == 1:
            text = text.partition(":")[0]
        try:
            address = ipaddress.ip_address(text)
        except ValueError:
            return None, None
        if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped:
            address = address.ipv4_mapped
        network = ipaddress.ip_network((address, 24 if address.version == 4 else 48), strict=False)
        return self.ref("address", str(address)), self.ref("network", str(network))

    def account(self, value: str) -> str:
        """An account id as the operator needs it to act; an id that is a mail address becomes a reference."""
        return f"m-{self.ref('account', value.strip().lower())}" if "@" in value else value
