"""Provider logs -> calls.  Identity becomes a keyed reference here, and the model's reply is left behind."""

from stillwatch.intake.accounts import read_accounts
from stillwatch.intake.identity import Identity, load_or_create_key
from stillwatch.intake.quarantine import IntakeError, Quarantine
from stillwatch.intake.reading import FileReport, Reader, expand

__all__ = ["FileReport", "Identity", "IntakeError", "Quarantine", "Reader", "expand", "load_or_create_key", "read_accounts"]
