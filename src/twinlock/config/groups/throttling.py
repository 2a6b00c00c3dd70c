"""Settings, *Throttling*: how many tries are let through, and who counts as known."""

from datetime import timedelta

from twinlock.config.explained import SettingsGroup, setting
from twinlock.config.kinds import DAY, Duration


class ThrottlingSettings(SettingsGroup):
    """How many tries are let through, and who counts as known."""

    heading = "Throttling"

    second_factor_tries_5min: int = setting(
        5,
        "Second-factor answers that one account may give in any 5 minutes.",
        example="3",
        unit="answers",
        ge=1,
        le=10,
    )
    second_factor_tries_1h: int = setting(
        20,
        "Second-factor answers that one account may give in any hour.",
        example="10",
        unit="answers",
        ge=2,
        le=50,
    )
    second_factor_tries_24h: int = setting(
        50,
        "Second-factor answers that one account may give in any 24 hours.",
        example="25",
        unit="answers",
        ge=3,
        le=100,
    )
    password_tries_account_network_10min: int = setting(
        10,
        "Wrong passwords for one account from one network in any 10 minutes.",
        example="5",
        unit="passwords",
        ge=1,
        le=100,
    )
    password_tries_network_1h: int = setting(
        100,
        "Wrong passwords from one network in any hour; raise it where many people share one.",
        example="500",
        unit="passwords",
        ge=1,
        le=1_000,
    )
    password_tries_strangers_24h: int = setting(
        100,
        "Wrong passwords for one account from all strangers in any 24 hours; then they share one "
        "try a minute.",
        example="50",
        unit="passwords",
        ge=1,
        le=1_000,
    )
    password_tries_known_browser_10min: int = setting(
        10,
        "Wrong passwords from a browser that signed in before, in any 10 minutes.",
        example="5",
        unit="passwords",
        ge=1,
        le=100,
    )
    passkey_tries_network_1h: int = setting(
        100,
        "Wrong answers of passkeys without a password from one network in any hour.",
        example="500",
        unit="answers",
        ge=1,
        le=1_000,
    )
    known_browser_lifetime: Duration = setting(
        timedelta(days=180),
        "How long a browser that signed in is known, and counted apart from strangers.",
        example="P90D",
        ge=DAY,
        le=timedelta(days=400),
    )
    familiar_network_lifetime: Duration = setting(
        timedelta(days=30),
        "How long a network that was signed in from is no stranger to the account.",
        example="P14D",
        ge=DAY,
        le=timedelta(days=400),
    )
