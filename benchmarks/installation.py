"""An installation with many accounts, written straight into the database.

All accounts share one password hash, and each has a TOTP key and ten recovery codes of its own:
what enrolling them one by one would have left behind, in seconds instead of minutes.
"""

import os
import shutil
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

from sqlalchemy import Connection, insert, update

import twinlock.migrations.tables  # noqa: F401 - every table is known to the metadata
from twinlock.accounts.names import check_username
from twinlock.accounts.passwords import HashProfile, hash_password, scheme_of
from twinlock.accounts.tables import account, subject
from twinlock.audit.events import Caller
from twinlock.config.settings import Settings, load_master_keys
from twinlock.core.clock import utc_now
from twinlock.core.keyring import DigestKey, Keyring
from twinlock.core.proof import SubjectId
from twinlock.core.secrets import new_id
from twinlock.db.engine import Database
from twinlock.factors.authenticators.store import Authenticator, make_seal
from twinlock.factors.authenticators.tables import authenticator
from twinlock.factors.recovery_codes.factor import RecoveryCodes
from twinlock.factors.totp import otpauth, rfc6238
from twinlock.factors.totp.factor import TotpFactor
from twinlock.factors.totp.tables import totp as totp_key
from twinlock.flows.installation import create_installation, open_installation
from twinlock.installation import key_file
from twinlock.migrations.run import upgrade

PASSWORD = "correct horse battery"
TOY = HashProfile(memory_kib=64, iterations=1)
REAL = HashProfile()

_STEP = timedelta(seconds=30)


@dataclass(slots=True)
class Person:
    """An account, its key, and the last time step that was used up.

    Attributes:
        key: Nothing where the account has no second factor.
    """

    username: str
    subject: SubjectId
    key: bytes
    last_step: int = 0
    recovery_codes: list[str] = field(default_factory=list)


class People:
    """Everybody with a TOTP app; gives each code out once."""

    def __init__(self, people: list[Person]) -> None:
        self.all = people
        self._at = 0

    def next_code(self) -> tuple[Person, str]:
        """Return somebody whose code was not used yet, and that code.

        A code of the previous, present or next step is accepted, so that each account signs in
        three times in the first half minute, and once in each that follows.
        """
        while True:
            present = int(time.time()) // 30
            for _ in self.all:
                person = self.all[self._at]
                self._at = (self._at + 1) % len(self.all)
                step = max(person.last_step + 1, present)
                if person.last_step == 0 and int(time.time()) % 30 < 25:
                    step = present - 1
                if step <= present + 1 and not (step > present and int(time.time()) % 30 > 28):
                    person.last_step = step
                    at = datetime.fromtimestamp(step * 30, UTC)
                    return person, rfc6238.totp(person.key, at=at)
            time.sleep(0.5)  # all are used up until the next half minute


@dataclass(frozen=True, slots=True)
class Installation:
    """What a server needs to know to serve it, and who can sign in."""

    environment: dict[str, str]
    people: People


def cores() -> int:
    """Return how many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def create(
    folder: Path,
    *,
    accounts: int,
    bare: int = 0,
    profile: HashProfile = REAL,
    database_url: str | None = None,
) -> Installation:
    """Make a fresh installation in *folder*.

    Args:
        folder: Its data folder, emptied first.
        accounts: How many accounts it has.
        bare: How many of them, the last ones, have no second factor.
        profile: What a hash costs.
        database_url: Another database than SQLite in *folder*; empty.
    """
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True, mode=0o700)
    environment = {
        "TWINLOCK_ENVIRONMENT": "development",
        "TWINLOCK_DATA_DIR": str(folder),
        "TWINLOCK_HASH_MEMORY_KIB": str(profile.memory_kib),
        "TWINLOCK_HASH_ITERATIONS": str(profile.iterations),
    }
    if database_url is not None:
        environment["TWINLOCK_DATABASE_URL"] = database_url
    settings = Settings(
        environment="development",
        data_dir=folder,
        hash_memory_kib=profile.memory_kib,
        hash_iterations=profile.iterations,
        **({} if database_url is None else {"database_url": database_url}),
    )
    key_file.create_key_file(settings.secret_keys_file)
    keyring = Keyring(load_master_keys(settings))
    database = Database(settings.database_url)
    try:
        upgrade(database)
        create_installation(database, keyring, Caller(), now=utc_now())
        digest_key = open_installation(database, keyring)
        people = database.transaction(_write, keyring, digest_key, accounts, bare, profile)
    finally:
        database.close()
    return Installation(environment, People(people))


def _write(
    tx: Connection,
    keyring: Keyring,
    digest_key: DigestKey,
    accounts: int,
    bare: int,
    profile: HashProfile,
) -> list[Person]:
    now = utc_now()
    shared_hash = hash_password(PASSWORD, profile=profile)
    totp, codes = TotpFactor(keyring, issuer="Benchmarks"), RecoveryCodes(digest_key)
    people: list[Person] = []
    account_rows, subject_rows, authenticator_rows = [], [], []
    for number in range(accounts):
        name = check_username(f"person{number}")
        account_id, person_id, app_id = new_id(), SubjectId(new_id()), new_id()
        is_bare = number >= accounts - bare
        person = Person(name.text, person_id, b"" if is_bare else number.to_bytes(20, "big"))
        people.append(person)
        app = Authenticator(app_id, totp.method, "phone", 6, now, None)
        account_rows.append(
            {
                "id": account_id,
                "username": name.text,
                "username_key": name.key,
                "email": f"{name.text}@example.com",
                "email_key": f"{name.text}@example.com",
                "email_verified_at": now,
                "full_name": "A Person",
                "roles": "",
                "password_hash": shared_hash,
                "password_scheme": scheme_of(shared_hash),
                "password_changed_at": now,
                "created_at": now,
            }
        )
        subject_rows.append(
            {
                "id": person_id,
                "host_id": account_id,
                "generation": 0,
                "seal": make_seal(
                    keyring,
                    account=person_id,
                    generation=0,
                    awaits_enrollment=False,
                    authenticators=[] if is_bare else [app],
                ),
                "awaits_enrollment": False,
                "created_at": now,
            }
        )
        if is_bare:
            continue
        authenticator_rows.append(
            {
                "id": app_id,
                "subject_id": person_id,
                "method": totp.method,
                "label": app.label,
                "code_digits": 6,
                "created_at": now,
            }
        )
    tx.execute(insert(account), account_rows)
    tx.execute(insert(subject), subject_rows)
    if authenticator_rows:
        tx.execute(insert(authenticator), authenticator_rows)
    for person, row in zip(people, authenticator_rows, strict=False):  # the bare ones come last
        uri = otpauth.provisioning_uri(person.key, issuer="B", account_name=person.username)
        totp.import_authenticator(tx, person.subject, str(row["id"]), uri, now=now)
        person.recovery_codes = codes.create(tx, person.subject, now=now)
    tx.execute(update(totp_key).values(last_step=0))
    return people
