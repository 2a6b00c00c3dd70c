"""Settings, *Tokens and sessions*: how long tokens, sessions and fresh proofs live."""

from datetime import timedelta
from typing import Final

from twinlock.config.explained import SettingsGroup, setting
from twinlock.config.kinds import HOUR, MINUTE, Duration, PlainText

_ZERO: Final = timedelta(0)
_SKEW: Final = timedelta(seconds=5)


class SessionSettings(SettingsGroup):
    """How long tokens, sessions and fresh proofs live."""

    heading = "Tokens and sessions"

    audience: PlainText = setting(
        description="The `aud` of access tokens.",
        example="https://api.example.com",
        follows=lambda above: above["base_url"],
        default_text="the base URL",
        max_length=255,
    )
    password_grant_enabled: bool = setting(
        True,
        "Whether `/token` takes a password, as the *Authorize* dialog of `/docs` sends it.",
        example="false",
    )
    access_token_lifetime: Duration = setting(
        timedelta(minutes=10),
        "How long an access token lives.",
        example="300",
        ge=MINUTE,
        le=HOUR,
    )
    clock_skew: Duration = setting(
        description="How far ahead the clocks of other machines of this installation may be: a "
        "token that one of them signed is believed as much too early, and never too late.",
        example="PT10S",
        follows=lambda above: _ZERO if above["database_url"].startswith("sqlite") else _SKEW,
        default_text="5 s with PostgreSQL, 0 with SQLite, which has one clock",
        ge=_ZERO,
        le=timedelta(seconds=30),
    )
    refresh_idle_lifetime: Duration = setting(
        timedelta(days=14),
        "A session with a refresh token ends when the token is unused for this long.",
        example="P7D",
        ge=timedelta(minutes=5),
        le=timedelta(days=90),
    )
    refresh_absolute_lifetime: Duration = setting(
        timedelta(days=90),
        "A session with a refresh token ends after this long in any case.",
        example="P30D",
        ge=timedelta(minutes=5),
        le=timedelta(days=365),
    )
    refresh_grace: Duration = setting(
        timedelta(seconds=10),
        "How long a refresh token that was just used gives the same answer again, for a client "
        "whose reply was lost; 0 turns it off.",
        example="0",
        ge=_ZERO,
        le=MINUTE,
    )
    page_idle_lifetime: Duration = setting(
        HOUR,
        "A session with a cookie ends when it is unused for this long.",
        example="PT30M",
        ge=timedelta(minutes=5),
        le=timedelta(days=7),
    )
    page_absolute_lifetime: Duration = setting(
        timedelta(hours=12),
        "A session with a cookie ends after this long in any case.",
        example="PT8H",
        ge=timedelta(minutes=5),
        le=timedelta(days=30),
    )
    websocket_check_interval: Duration = setting(
        timedelta(seconds=5),
        "How often a WebSocket on which nothing happens is asked whether its session still lives.",
        example="2",
        ge=timedelta(milliseconds=10),
        le=timedelta(seconds=9),
    )
    fresh_proof_lifetime: Duration = setting(
        timedelta(minutes=10),
        "How old the last proof may be when factors, password or accounts are changed.",
        example="PT5M",
        ge=MINUTE,
        le=HOUR,
    )
    max_sessions: int = setting(
        50,
        "Sessions of one account; one more ends the oldest.",
        example="10",
        unit="sessions",
        ge=1,
        le=1_000,
    )
