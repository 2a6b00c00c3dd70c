"""Settings, *Metrics*: where Prometheus reads what the server counted."""

from twinlock.config.explained import SettingsGroup, setting
from twinlock.config.kinds import Host


class MetricsSettings(SettingsGroup):
    """Where Prometheus reads what the server counted."""

    heading = "Metrics"

    metrics_port: int | None = setting(
        None,
        "The TCP port on which `twinlock serve` tells Prometheus what it counted, at `/metrics`. "
        "Needs `twinlock[metrics]`.",
        example="9464",
        default_text="none: nothing is counted",
        ge=1,
        le=65_535,
    )
    metrics_host: Host = setting(
        "127.0.0.1",
        "The address of that port. Whoever reaches it reads how many people sign in.",
        example="10.0.0.7",
    )
