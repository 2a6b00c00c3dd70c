"""Everything that a programmer or an operator can cause.

TwinlockError
├── ConfigurationError      a setting is missing, unknown, or not fit for production
├── InstallationError       data folder, key file, database or migrations do not fit together
│   ├── NotInitializedError     no installation there: run ``twinlock init``
│   ├── WrongKeyError           the master keys do not open this database
│   └── SchemaError             the database's revision is not this program's
├── DatabaseUnavailableError    the database did not answer, or refused, within its time
├── KeysUnavailableError    a login server elsewhere has not told its keys within their time
├── SealBrokenError         a sealed value was changed, moved, or sealed by another key
└── DamagedRowError         a row holds what nobody could have written there

What a person can cause (a wrong code, an expired login) is a returned value.
"""


class TwinlockError(Exception):
    """The base of every error that this package raises on purpose."""


class ConfigurationError(TwinlockError):
    """A setting is missing, unknown, contradictory, or not fit for production."""


class InstallationError(TwinlockError):
    """Data folder, key file, database or migrations do not fit together."""


class NotInitializedError(InstallationError):
    """There is no installation here yet: ``twinlock init`` makes one."""


class WrongKeyError(InstallationError):
    """The master keys given do not open this database."""


class SchemaError(InstallationError):
    """The database's revision is not the one this program was written for."""


class DatabaseUnavailableError(TwinlockError):
    """The database did not answer, or refused the transaction, within its time."""


class KeysUnavailableError(TwinlockError):
    """The keys of a login server elsewhere are unknown, or too old to be believed."""


class SealBrokenError(TwinlockError):
    """A sealed value was changed, moved to another row, or sealed by a key we do not hold."""


class DamagedRowError(TwinlockError):
    """A row holds what this program never writes there: nothing is decided by it."""


class DirectoryError(TwinlockError):
    """The host's directory failed, did not answer in time, or told something impossible."""


class StaleEntryError(TwinlockError):
    """What the host's directory told of an account is too old: it is to be asked again."""

    def __init__(self, host_id: str) -> None:
        super().__init__("the host's directory is to be asked again")
        self.host_id = host_id


class UncommittedWritesError(TwinlockError):
    """The caller's own connection holds the SQLite file that is to be written.

    Commit or roll back first: waiting would be waiting for oneself.
    """
