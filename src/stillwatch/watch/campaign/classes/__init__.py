"""Evidence classes: one file each."""

from typing import Final

from stillwatch.watch.campaign.classes.base import CLASS_CAP, MIN_OTHERS, EvidenceClass, Finding, Group
from stillwatch.watch.campaign.classes.echo import Echo
from stillwatch.watch.campaign.classes.mail import Mail
from stillwatch.watch.campaign.classes.network import Network
from stillwatch.watch.campaign.classes.partners import Partners
from stillwatch.watch.campaign.classes.payment import Payment
from stillwatch.watch.campaign.classes.quota import Quota
from stillwatch.watch.campaign.classes.registration import Registration

#: The classes that say who operates the accounts, in the order of the report.
LOCAL: Final[tuple[EvidenceClass, ...]] = (Payment(), Echo(), Mail(), Registration(), Network(), Quota())
PARTNERS: Final = Partners()

__all__ = ["CLASS_CAP", "LOCAL", "MIN_OTHERS", "PARTNERS", "EvidenceClass", "Finding", "Group"]
