"""``twinlock init``: data folder, key file, database, and in development the first account.

Can be repeated, and raced by several processes: each step leaves what is there alone. The key
file comes before the database, so that no database ever waits for keys that nobody kept.
"""

from contextlib import closing
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final

from twinlock.accounts.directory import Account
from twinlock.cli import output
from twinlock.composition import Flows
from twinlock.config.settings import Settings, load_master_keys
from twinlock.config.values import mask_url
from twinlock.core.clock import utc_now
from twinlock.core.errors import InstallationError
from twinlock.core.keyring import Keyring
from twinlock.core.principal import ADMIN
from twinlock.core.secrets import random_bytes
from twinlock.db.engine import Database
from twinlock.flows import checkup
from twinlock.flows.account_listing import list_accounts
from twinlock.flows.account_making import NewAccount
from twinlock.flows.installation import create_installation
from twinlock.installation import key_file

FIRST_PASSWORD_LIFETIME: Final = timedelta(hours=24)

_PRIVATE_FILE: Final = 0o600
_LETTERS: Final = "abcdefghjkmnpqrstvwxyz0123456789"
"""32 characters that are not taken for one another."""
_LEAST_LENGTH: Final = 29  # five groups of five: 125 bits
_GROUP_LENGTH: Final = 5

app = output.single()


@dataclass(frozen=True, slots=True)
class FirstAdmin:
    """The first account, whose password is shown this once."""

    username: str
    password: str = field(repr=False)
    expires_at: datetime


@dataclass(frozen=True, slots=True)
class Initialised:
    """What was made, and what was there.

    Attributes:
        key_file: None when the keys come from the settings.
        admin: The first account, if this call made it.
        has_admin: Whether anybody is an administrator now.
    """

    data_dir: str
    key_file: str | None
    key_file_created: bool
    database: str
    migrated_from: str | None
    revision: str
    installation_created: bool
    admin: FirstAdmin | None
    has_admin: bool


@app.command()
def init(*, json: output.Json = False) -> None:
    """Make data folder, key file and database; can be repeated.

    In development it also makes the first account, `admin`, and shows its password once.
    """
    done = initialise(Settings())
    output.show(asdict(done), *told(done), as_json=json)


def initialise(settings: Settings) -> Initialised:
    """Make what is missing of an installation.

    Raises:
        InstallationError: There is a database without its keys, or the system does not let us.
        ConfigurationError: The keys cannot be used.
        DatabaseUnavailableError: The database does not answer.
    """
    from twinlock.migrations.run import upgrade

    with closing(Database(settings.database_url, has_pooler=settings.database_pooler)) as database:
        _make_data_folder(settings.data_dir)
        is_new_key = not settings.secret_keys and _make_key_file(settings, database)
        keyring = Keyring(load_master_keys(settings))
        _make_database_file(_sqlite_file(database))
        before, after = upgrade(database)
        is_created = create_installation(database, keyring, output.caller(), now=utc_now())
    with output.opened(settings) as flows:
        now = flows.parts.clock()
        flows.keys.load(now=now)
        admin = None if settings.is_production else _make_first_admin(flows, now=now)
        return Initialised(
            data_dir=str(settings.data_dir),
            key_file=None if settings.secret_keys else str(settings.secret_keys_file),
            key_file_created=is_new_key,
            database=mask_url(settings.database_url),
            migrated_from=before,
            revision=after,
            installation_created=is_created,
            admin=admin,
            has_admin=checkup.has_admin(flows.parts),
        )


def told(done: Initialised) -> list[str]:
    """Return what to tell people of it."""
    lines = [
        f"Data folder  {done.data_dir}",
        f"Key file     {done.key_file or 'none: the keys come from TWINLOCK_SECRET_KEYS'}",
        f"Database     {done.database} (revision {done.revision})",
    ]
    if done.key_file_created:
        lines.append("Keep a copy of the key file, apart from the backups of the database.")
    return lines + told_of_admin(done)


def told_of_admin(done: Initialised) -> list[str]:
    """Return what to tell people of the first account, or of its absence."""
    if done.admin is not None:
        return [
            "",
            "The first account, whose password is shown this once and works for 24 hours:",
            f"    user name  {done.admin.username}",
            f"    password   {done.admin.password}",
        ]
    if done.has_admin:
        return []
    return ["", f"There is no administrator yet. Type: {output.CREATE_ADMIN}"]


def _make_data_folder(path: Path) -> None:
    try:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise InstallationError(
            f"The data folder {path} cannot be made: {error.strerror}. Make it, or name another "
            "in TWINLOCK_DATA_DIR."
        ) from error


def _make_key_file(settings: Settings, database: Database) -> bool:
    """Make the key file unless it is there, or a database is that needs an older one.

    The database is looked at first: `init` always makes the key file before the database, so
    whoever sees a database here must find its key file, too.
    """
    file = _sqlite_file(database)
    is_initialised = (file is None or file.exists()) and checkup.has_installation(database)
    if is_initialised and not settings.secret_keys_file.exists():
        raise InstallationError(
            f"The database {mask_url(settings.database_url)} is initialised, but its key file "
            f"{settings.secret_keys_file} is missing, and no new one would open it. Put the key "
            "file back from its copy, or name it in TWINLOCK_SECRET_KEYS_FILE."
        )
    return key_file.create_key_file(settings.secret_keys_file)


def _make_database_file(file: Path | None) -> None:
    """Make an empty SQLite file that only its owner reads; its journals take over the mode."""
    if file is None:
        return
    try:
        file.touch(mode=_PRIVATE_FILE, exist_ok=True)
    except OSError as error:
        raise InstallationError(f"The database {file}: {error.strerror}.") from error


def _sqlite_file(database: Database) -> Path | None:
    return Path(database.url.database or "") if database.is_sqlite else None


def _make_first_admin(flows: Flows, *, now: datetime) -> FirstAdmin | None:
    """Make the first account; of several processes at once one does, by the account's name."""
    administration = flows.administration
    if list_accounts(flows.parts, search=None, cursor=None, limit=1).accounts:
        return None
    expires_at = now + FIRST_PASSWORD_LIFETIME
    new = NewAccount(ADMIN, roles=(ADMIN,), password_expires_at=expires_at)
    length = max(_LEAST_LENGTH, flows.policy.min_length)
    password = _random_password(length)
    while administration.check_password(password, new) is not None:
        password = _random_password(length)
    new = replace(new, password=flows.password_check.new_hash(password))
    created = administration.create(new, output.caller(), now=now)
    if not isinstance(created, Account):
        return None
    return FirstAdmin(created.username, password, expires_at)


def _random_password(least_length: int) -> str:
    """Return groups of five random letters and digits, five bits each."""
    groups: list[str] = []
    while len("-".join(groups)) < least_length:
        drawn = random_bytes(_GROUP_LENGTH)
        groups.append("".join(_LETTERS[byte % len(_LETTERS)] for byte in drawn))
    return "-".join(groups)
