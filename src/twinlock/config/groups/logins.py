"""Settings, *Logins and enrollments*: how long they wait, and how many of them."""

from datetime import timedelta
from typing import Annotated

from pydantic import AfterValidator

from twinlock.config import values
from twinlock.config.explained import SettingsGroup, setting
from twinlock.config.kinds import HOUR, MINUTE, Duration, PlainText


class LoginSettings(SettingsGroup):
    """How long logins and enrollments wait, and how many of them."""

    heading = "Logins and enrollments"

    pending_login_lifetime: Duration = setting(
        timedelta(minutes=5),
        "How long a login waits for its second factor.",
        example="PT3M",
        ge=MINUTE,
        le=HOUR,
    )
    enrollment_lifetime: Duration = setting(
        timedelta(minutes=10),
        "How long an enrollment waits for its confirming answer.",
        example="PT15M",
        ge=MINUTE,
        le=HOUR,
    )
    enrollment_login_lifetime: Duration = setting(
        timedelta(minutes=15),
        "How long a login waits for an enrollment, where nothing opens without one.",
        example="PT30M",
        ge=MINUTE,
        le=HOUR,
    )
    enrollment_link_lifetime: Duration = setting(
        timedelta(hours=24),
        "How long the single-use link of a factor reset may be used.",
        example="PT4H",
        ge=HOUR,
        le=timedelta(days=7),
    )
    trusted_device_lifetime: Duration = setting(
        timedelta(days=30),
        "How long a trusted device stands for the second factor.",
        example="P7D",
        ge=HOUR,
        le=timedelta(days=90),
    )
    max_trusted_devices: int = setting(
        10,
        "Trusted devices of one account; one more ends the trust in the oldest.",
        example="3",
        unit="devices",
        ge=1,
        le=50,
    )
    max_pending_logins: int = setting(
        10,
        "Logins of one account that wait for a second factor; one more ends the oldest.",
        example="5",
        unit="logins",
        ge=1,
        le=100,
    )
    max_answers: int = setting(
        5,
        "Wrong answers after which a login, an enrollment or a reauthentication is void.",
        example="3",
        unit="answers",
        ge=1,
        le=10,
    )
    service_name: Annotated[PlainText, AfterValidator(values.read_label)] = setting(
        "Twinlock",
        "The name that authenticator apps show beside the code, without a colon.",
        example="Example Ltd",
        max_length=64,
    )
