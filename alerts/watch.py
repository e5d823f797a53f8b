"""Watches the controller from the web processes: one of them raises the alert that no controller works.

Why not the controller: one that is dead or hung cannot say so. Nothing is written while all is well.
"""

from __future__ import annotations

from uuid import UUID

from alerts import metrics, notices
from alerts.evaluation import Evaluator
from alerts.fleet import LEAD_TTL_MS, controller_age_s
from alerts.models import Alert
from alerts.states import OPEN
from dpl_site.lib.prepared import AnyRow
from nodes.leadership import NotLeading, campaign, leading

LEAD = "watch"
_STANDS = AnyRow(lambda: Alert.objects.filter(metric__in=tuple(metrics.OF_THE_WATCH), state__in=OPEN))


class ControllerWatch:
    """Judges the rules about the controller while it is silent or an alert about it stands.

    Guarantee: of all web processes one at a time does (a lead of its own, checked in the transaction that writes).
    While no controller leads it also puts messages together, since the controller does that else.
    """

    def __init__(self) -> None:
        self._evaluator = Evaluator(is_watch=True)

    def look(self, instance_id: UUID) -> bool:
        """Look once; whether this process is to send what waits in the outbox."""
        age_s = controller_age_s()
        is_silent = age_s is None or age_s * 1000 > LEAD_TTL_MS
        if not is_silent and not _STANDS.exists():
            return False
        epoch = campaign(name=LEAD, instance_id=instance_id)
        if epoch is None:
            return False
        try:
            with leading(name=LEAD, epoch=epoch):
                self._evaluator.step()
                if is_silent:
                    notices.put_together()
        except NotLeading:
            return False
        return is_silent and notices.has_queued()
