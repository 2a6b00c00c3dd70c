"""Settings, *Master keys*: where the master keys are."""

from collections.abc import Sequence
from typing import Annotated

from pydantic import AfterValidator, BeforeValidator, SecretStr

from twinlock.config import values
from twinlock.config.explained import SettingsGroup, setting
from twinlock.config.kinds import FilePath, Fixed
from twinlock.installation import key_file


def _checked_keys(given: Sequence[SecretStr]) -> Sequence[SecretStr]:
    keys = [key_file.decode_key(key.get_secret_value()) for key in given]
    if len(set(keys)) != len(keys):
        raise ValueError("should not name one key twice")
    return given


class KeySettings(SettingsGroup):
    """Where the master keys are."""

    heading = "Master keys"

    secret_keys: Annotated[
        Sequence[SecretStr],
        BeforeValidator(values.read_keys_text),
        Fixed,
        AfterValidator(_checked_keys),
    ] = setting(
        (),
        "The master keys, newest first, 32 random bytes each in base64url. When set, the key "
        "file is not read. A secrets folder suits them better than the environment.",
        example="<newest>,<older>",
        default_text="none: the key file is read",
    )
    secret_keys_file: FilePath = setting(
        description="The key file that `twinlock init` makes: one key per line, newest first. In "
        "production it must be readable by its owner only.",
        example="/etc/twinlock/secret.keys",
        follows=lambda above: above["data_dir"] / "secret.keys",
        default_text="`secret.keys` in the data folder",
    )
