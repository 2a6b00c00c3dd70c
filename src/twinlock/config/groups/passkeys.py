"""Settings, *Passkeys*: which hosts passkeys belong to."""

from typing import Annotated

from pydantic import AfterValidator

from twinlock.config import values
from twinlock.config.explained import SettingsGroup, setting
from twinlock.config.kinds import Origins


class PasskeySettings(SettingsGroup):
    """Which hosts passkeys belong to."""

    heading = "Passkeys"

    rp_id: Annotated[str, AfterValidator(values.read_rp_id)] | None = setting(
        description="The host name that passkeys are bound to: the base URL's, or a parent of it "
        "that all your hosts share. When it changes, all passkeys are lost.",
        example="example.com",
        follows=lambda above: _rp_id(above["base_url"]),
        default_text="the host of the base URL; no passkeys where that is an address",
    )
    rp_origins: Origins = setting(
        (),
        "Exact origins, beside the base URL, whose pages may use passkeys; each on the host that "
        "passkeys are bound to, or below it.",
        example="https://app.example.com",
    )


def _rp_id(base_url: str) -> str | None:
    host = values.host_of(base_url)
    return None if values.is_address(host) else host
