"""Kinds of values that several settings have, each with what it accepts."""

from collections.abc import Sequence
from datetime import timedelta
from ipaddress import IPv4Network, IPv6Network
from pathlib import Path
from typing import Annotated, Final

from pydantic import AfterValidator, BeforeValidator, Field

from twinlock.config import values

MINUTE: Final = timedelta(minutes=1)
HOUR: Final = timedelta(hours=1)
DAY: Final = timedelta(days=1)

Duration = Annotated[timedelta, BeforeValidator(values.read_duration)]
Origin = Annotated[str, AfterValidator(values.read_origin)]
Host = Annotated[str, AfterValidator(values.read_host)]
PlainText = Annotated[str, Field(min_length=1), AfterValidator(values.read_plain_text)]
FilePath = Annotated[Path, AfterValidator(values.read_path)]
Listed = BeforeValidator(values.read_list)
Fixed = AfterValidator(tuple)
Networks = Annotated[
    Sequence[Annotated[IPv4Network | IPv6Network, BeforeValidator(values.read_network)]],
    Listed,
    Fixed,
]
Origins = Annotated[Sequence[Origin], Listed, Fixed]
PlainTexts = Annotated[Sequence[PlainText], Listed, Fixed]
