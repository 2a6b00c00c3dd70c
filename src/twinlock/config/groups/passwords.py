"""Settings, *Passwords*: which passwords may be chosen, and how they are hashed."""

from typing import Annotated, Final

from pydantic import AfterValidator

from twinlock.accounts.passwords import MAX_PASSWORD_LENGTH
from twinlock.config import values
from twinlock.config.cores import available_cores
from twinlock.config.explained import SettingsGroup, setting
from twinlock.config.kinds import PlainTexts

LEAST_HASH_MEMORY_KIB: Final = 19_456
LEAST_HASH_ITERATIONS: Final = 2


class PasswordSettings(SettingsGroup):
    """Which passwords may be chosen, and how they are hashed."""

    heading = "Passwords"

    password_min_length: int = setting(
        8,
        "The shortest password; 15 is advised where no second factor is demanded.",
        example="15",
        unit="characters",
        ge=8,
        le=64,
    )
    password_max_length: int = setting(
        MAX_PASSWORD_LENGTH,
        "The longest password that may be chosen.",
        example="256",
        unit="characters",
        ge=64,
        le=MAX_PASSWORD_LENGTH,
    )
    blocked_password_words: PlainTexts = setting(
        (),
        "Words that no password may consist of, such as the name of the service; common passwords "
        "are refused anyway.",
        example="acme,rocket",
    )
    breached_passwords_url: Annotated[str, AfterValidator(values.read_service_url)] | None = (
        setting(
            None,
            "A service that is asked whether a new password was seen in a breach (k-anonymity): "
            "the address to which a slash and the first five characters of the password's SHA-1 "
            "are added. Where it does not answer within two seconds, the list in the package has "
            "to do.",
            example="https://api.pwnedpasswords.com/range",
            default_text="none is asked",
        )
    )
    hash_memory_kib: int = setting(
        LEAST_HASH_MEMORY_KIB,
        "Memory of one Argon2id hash; less than the default in development only.",
        example="65536",
        unit="KiB",
        ge=64,
        le=262_144,
    )
    hash_iterations: int = setting(
        LEAST_HASH_ITERATIONS,
        "Passes of one Argon2id hash; less than the default in development only.",
        example="3",
        unit="passes",
        ge=1,
        le=20,
    )
    hash_parallelism: int = setting(1, "Lanes of one Argon2id hash.", example="1", ge=1, le=16)
    hash_threads: int = setting(
        description="Hashes that one process computes at once.",
        example="2",
        unit="threads",
        follows=lambda above: max(1, available_cores() // above["workers"]),
        default_text="the cores, or what a container's quota grants, divided among the workers",
        ge=1,
        le=256,
    )
    hash_waiting_per_thread: int = setting(
        32,
        "Password steps that may wait for each of these threads; one more is answered with 503.",
        example="16",
        unit="steps",
        ge=1,
        le=1_024,
    )
