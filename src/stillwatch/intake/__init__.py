"""Provider logs -> calls.  Identity becomes a keyed reference here, and the model's reply is left behind."""

from stillwatch.intake.accounts import read_accounts
from stillwatch.intake.errors import IntakeError
from stillwatch.intake.identity import Identity, canonical, load_or_create_key, mail_shape
from stillwatch.intake.quarantine import Quarantine
from stillwatch.intake.reading import FileReport, Reader, expand, read_calls

__all__ = [
    "FileReport",
    "Identity",
    "IntakeError",
    "Quarantine",
    "Reader",
    "canonical",
    "expand",
    "load_or_create_key",
    "mail_shape",
    "read_accounts",
    "read_calls",
]
