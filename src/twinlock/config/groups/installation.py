"""Settings, *Installation*: what kind of installation this is, and where it lies."""

from pathlib import Path
from typing import Literal

from twinlock.config.explained import SettingsGroup, setting
from twinlock.config.kinds import FilePath


class InstallationSettings(SettingsGroup):
    """What kind of installation this is, and where it lies."""

    heading = "Installation"

    environment: Literal["production", "development"] = setting(
        "production",
        "Development switches on what helps on one's own machine, and listens on it only. "
        "Production refuses values that are fit for development only.",
        example="development",
    )
    data_dir: FilePath = setting(
        Path("twinlock-data"),
        "The folder of this installation: the key file and, by default, the database.",
        example="/var/lib/twinlock",
        default_text="`twinlock-data` in the working directory",
    )
