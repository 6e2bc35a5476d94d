"""The campaigns that victims have reported, as presets."""

from __future__ import annotations

from typing import Any, Final

#: The reported campaigns at a scale of 1: (exchanges, accounts, exchanges per account and day; 0 where the reports do not say).  Accounts or rates that
#: are missing are filled in from the two that are there; see the table of docs/range.md for the sources.
REPORTED: Final = {
    "alpaca": (52_000, 1, 0.0),
    "early-2026-small": (150_000, 225, 0.0),
    "early-2026-middle": (3_400_000, 5_100, 0.0),
    "early-2026-large": (13_000_000, 19_500, 0.0),
    "forty-five-days": (28_800_000, 25_000, 26.0),
    "replayed-reasoning": (16_000, 4_000, 2.0),
    "relayed-customers": (23_000_000, 5_380, 5.6),
    "seventeen-days": (3_400_000, 273, 282.0),
}
_STYLE: Final[dict[str, dict[str, Any]]] = {
    "alpaca": {"techniques": {"D18": 1.0}, "camouflage": 0.0, "verified": 0.0, "pool": 1, "age_days": 1.0, "signup_days": 0.0},
    "replayed-reasoning": {"techniques": {"D14": 0.8, "D11": 0.2}, "camouflage": 0.0},
    "relayed-customers": {"techniques": {"D11": 1.0}, "relay": 1.0, "camouflage": 0.0},
    "seventeen-days": {"techniques": {"D11": 0.5, "D16": 0.5}, "camouflage": 0.5, "ban_day": 6.0},
}


def preset(name: str, scale: float, days: float) -> dict[str, Any]:
    """The parameters of a reported campaign at ``scale``: fewer accounts, each as busy as reported, where that can be within ``days``.

    One account stays one account; its calls are scaled instead.
    """
    calls, accounts, rate = REPORTED[name]
    if accounts == 1:
        return {"accounts": 1, "calls": max(1.0, calls * scale)} | _STYLE.get(name, {})
    length = calls / accounts / rate if rate else 45.0
    each = calls / accounts * min(1.0, days / length)
    return {"accounts": max(1, round(accounts * scale)), "calls": max(1.0, each)} | _STYLE.get(name, {})
