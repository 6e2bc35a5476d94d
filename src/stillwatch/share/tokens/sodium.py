"""The few functions of libsodium that the tokens need, through ctypes.

Python cannot keep secrets in constant time; libsodium can, so scalars are handled by its functions only and never become Python integers.
"""

from __future__ import annotations

import ctypes
import ctypes.util
import importlib
import os
from collections.abc import Sequence
from ctypes import c_char_p, c_int, c_ulonglong, c_void_p
from functools import lru_cache
from pathlib import Path
from typing import Any, Final

#: Bytes of a group element and of a scalar; of the hash that is mapped to either.
SIZE: Final = 32
WIDE: Final = 64
_PREFIX: Final = "crypto_core_ristretto255_"
#: name: number of pointer arguments after the result.
_CORE: Final = {
    "add": 2,
    "from_hash": 1,
    "scalar_random": 0,
    "scalar_invert": 1,
    "scalar_add": 2,
    "scalar_sub": 2,
    "scalar_mul": 2,
    "scalar_reduce": 1,
}


class SodiumError(RuntimeError):
    """libsodium is not to be had, or is too old for ristretto255 (1.0.18 is needed)."""


class ElementError(ValueError):
    """Bytes that are no valid group element, or the identity."""


@lru_cache(maxsize=1)
def library() -> Any:
    """The system's libsodium, else the one that the package rbcl brings.

    Raises:
        SodiumError: neither is there.
    """
    names = ("libsodium.so.26", "libsodium.so.23", "libsodium.26.dylib", "libsodium.23.dylib", ctypes.util.find_library("sodium"))
    for name in names:
        try:
            return _declared(ctypes.CDLL(name)) if name else _bundled()
        except (OSError, AttributeError):
            continue
    return _bundled()


def _bundled() -> Any:
    try:
        module = importlib.import_module("rbcl._sodium")
        lib = _declared(module._sodium)
    except (ImportError, OSError, AttributeError) as error:
        raise SodiumError(f"libsodium 1.0.18 or newer is needed; install the system's package libsodium ({error})") from None
    if os.name == "posix":  # it is loaded; the file that rbcl unpacked it from is not needed any more
        Path(module.lib_path).unlink(missing_ok=True)
    return lib


def _declared(lib: Any) -> Any:
    for name, more in _CORE.items():
        f = getattr(lib, _PREFIX + name)
        f.argtypes, f.restype = [c_void_p] * (1 + more), c_int
    lib.crypto_core_ristretto255_is_valid_point.argtypes = [c_void_p]
    lib.crypto_scalarmult_ristretto255.argtypes = [c_void_p] * 3
    lib.crypto_scalarmult_ristretto255_base.argtypes = [c_void_p] * 2
    lib.sodium_memzero.argtypes = [c_void_p, ctypes.c_size_t]
    lib.crypto_hash_sha512.argtypes = [c_void_p, c_char_p, c_ulonglong]
    if lib.sodium_init() < 0:
        raise OSError("libsodium cannot be initialised")
    return lib


def _call(name: str, *parts: bytes) -> bytes:
    out = ctypes.create_string_buffer(SIZE)
    if getattr(library(), _PREFIX + name)(out, *parts) != 0:
        raise ElementError(f"{name}: not a valid element or scalar")
    return out.raw


def element_of(hashed: bytes) -> bytes:
    """The group element that 64 uniform bytes map to."""
    return _call("from_hash", hashed)


def add(a: bytes, b: bytes) -> bytes:
    """Sum of two elements."""
    return _call("add", a, b)


def multiply(scalar: bytes, element: bytes) -> bytes:
    """``scalar`` times ``element``; refuses what is no element, and the identity (RFC 9497 section 2.1)."""
    out = ctypes.create_string_buffer(SIZE)
    if len(element) != SIZE or library().crypto_scalarmult_ristretto255(out, scalar, element) != 0:
        raise ElementError("not a valid group element, or the identity")
    return out.raw


def multiply_all(scalar: bytes, elements: bytes) -> bytes:
    """``multiply`` over elements laid end to end."""
    if len(elements) % SIZE:
        raise ElementError(f"{len(elements)} bytes are no row of elements of {SIZE} bytes")
    out = ctypes.create_string_buffer(max(1, len(elements)))
    run, target = library().crypto_scalarmult_ristretto255, ctypes.addressof(out)
    source = ctypes.create_string_buffer(elements, len(elements))
    begin = ctypes.addressof(source)
    for at in range(0, len(elements), SIZE):
        if run(target + at, scalar, begin + at) != 0:
            raise ElementError(f"item {at // SIZE}: not a valid group element, or the identity")
    return out.raw[: len(elements)]


def base(scalar: bytes) -> bytes:
    """``scalar`` times the generator."""
    out = ctypes.create_string_buffer(SIZE)
    if library().crypto_scalarmult_ristretto255_base(out, scalar) != 0:
        raise ElementError("the scalar is zero")
    return out.raw


def is_element(element: bytes) -> bool:
    """Whether bytes are the canonical form of an element."""
    return len(element) == SIZE and library().crypto_core_ristretto255_is_valid_point(element) == 1


def random_scalar() -> bytes:
    """A uniform scalar that is not zero."""
    out = ctypes.create_string_buffer(SIZE)
    library().crypto_core_ristretto255_scalar_random(out)
    return out.raw


def _scalars(name: str, *parts: bytes) -> bytes:
    out = ctypes.create_string_buffer(SIZE)
    getattr(library(), _PREFIX + "scalar_" + name)(out, *parts)
    return out.raw


def invert(scalar: bytes) -> bytes:
    """The scalar's inverse."""
    return _call("scalar_invert", scalar)


def invert_all(scalars: Sequence[bytes]) -> list[bytes]:
    """The inverses of many scalars for the price of one inversion (P. Montgomery, Math. Comp. 48:243, 1987)."""
    products = [scalar_int(1)]
    for s in scalars:
        products.append(scalar_mul(products[-1], s))
    running, out = invert(products[-1]), []
    for s, before in zip(reversed(scalars), reversed(products[:-1]), strict=True):
        out.append(scalar_mul(running, before))
        running = scalar_mul(running, s)
    return out[::-1]


def scalar_add(a: bytes, b: bytes) -> bytes:
    """a + b."""
    return _scalars("add", a, b)


def scalar_sub(a: bytes, b: bytes) -> bytes:
    """a - b."""
    return _scalars("sub", a, b)


def scalar_mul(a: bytes, b: bytes) -> bytes:
    """a * b."""
    return _scalars("mul", a, b)


def scalar_of(hashed: bytes) -> bytes:
    """64 bytes, little-endian, modulo the group's order."""
    return _scalars("reduce", hashed)


def scalar_int(value: int) -> bytes:
    """A small public number as a scalar."""
    return value.to_bytes(SIZE, "little")
