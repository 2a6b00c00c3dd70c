"""Settings, *Audit*: how long the audit log is kept."""

from datetime import timedelta

from twinlock.config.explained import SettingsGroup, setting
from twinlock.config.kinds import DAY, Duration


class AuditSettings(SettingsGroup):
    """How long the audit log is kept."""

    heading = "Audit"

    event_retention: Duration = setting(
        timedelta(days=400),
        "How long audit events are kept.",
        example="P90D",
        ge=DAY,
        le=timedelta(days=3_650),
    )
