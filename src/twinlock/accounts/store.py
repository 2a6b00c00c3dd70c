"""All SQL of accounts."""

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any, Final

from sqlalchemy import (
    Connection,
    Row,
    Select,
    and_,
    bindparam,
    delete,
    exists,
    func,
    insert,
    or_,
    select,
    tuple_,
    update,
)
from sqlalchemy.exc import IntegrityError

from twinlock.accounts.directory import Account, DirectoryEntry
from twinlock.accounts.names import EmailKey, UsernameKey, login_key, name_key
from twinlock.accounts.tables import IS_ADMIN, account, subject
from twinlock.core.proof import SubjectId
from twinlock.db.conflict import on_conflict
from twinlock.db.rows import Rows, kept
from twinlock.db.types import UtcDateTime

_OPEN: Final = and_(subject.c.host_id == account.c.id, subject.c.closed_at.is_(None))
_ACCOUNT: Final = select(
    subject.c.id.label("subject"),
    subject.c.generation,
    subject.c.seal,
    subject.c.awaits_enrollment,
    account.c.id.label("host_id"),
    account.c.username,
    account.c.email,
    account.c.email_verified_at,
    account.c.full_name,
    account.c.language,
    account.c.roles,
    account.c.disabled_at,
    account.c.password_hash,
    account.c.password_expires_at,
    account.c.password_mailed_at,
    account.c.created_at,
).select_from(account.join(subject, _OPEN))

FIND_BY_USERNAME = _ACCOUNT.where(account.c.username_key == bindparam("key"))
FIND_BY_EMAIL = _ACCOUNT.where(
    account.c.email_key == bindparam("key"), account.c.email_verified_at.is_not(None)
)
GET_BY_SUBJECT = _ACCOUNT.where(subject.c.id == bindparam("subject"))
LIST_ACCOUNTS = (
    _ACCOUNT.where(
        tuple_(account.c.created_at, account.c.id)
        > tuple_(bindparam("after_moment", type_=UtcDateTime()), bindparam("after_id"))
    )
    .order_by(account.c.created_at, account.c.id)
    .limit(bindparam("limit"))
)
INSERT_ACCOUNT = insert(account).ext(on_conflict("DO NOTHING")).returning(account.c.id)
UPDATE_PROFILE = (
    update(account)
    .where(account.c.id == bindparam("account_id"))
    .values(full_name=bindparam("new_full_name"), name_key=bindparam("new_name_key"))
)
SET_LANGUAGE = (
    update(account)
    .where(account.c.id == bindparam("account_id"))
    .values(language=bindparam("new_language"))
)
LEARN_LANGUAGE = SET_LANGUAGE.where(account.c.language.is_(None))
UPDATE_EMAIL = (
    update(account)
    .where(account.c.id == bindparam("account_id"))
    .values(
        email=bindparam("new_email"),
        email_key=bindparam("new_email_key"),
        email_verified_at=bindparam("new_verified_at"),
    )
)
UPDATE_ROLES = (
    update(account)
    .where(account.c.id == bindparam("account_id"))
    .values(roles=bindparam("new_roles"))
)
UPDATE_DISABLED = (
    update(account)
    .where(account.c.id == bindparam("account_id"))
    .values(disabled_at=bindparam("new_disabled_at"))
)
UPDATE_PASSWORD = (
    update(account)
    .where(account.c.id == bindparam("account_id"))
    .values(
        password_hash=bindparam("new_hash"),
        password_scheme=bindparam("new_scheme"),
        password_changed_at=bindparam("moment", type_=UtcDateTime()),
        password_expires_at=bindparam("new_expiry", type_=UtcDateTime()),
        password_mailed_at=bindparam("mailed_at", type_=UtcDateTime()),
    )
)
TRUST_PASSWORD = (
    update(account).where(account.c.id == bindparam("account_id")).values(password_mailed_at=None)
)
UPGRADE_HASH = (
    update(account)
    .where(
        account.c.id == bindparam("account_id"), account.c.password_hash == bindparam("verified")
    )
    .values(password_hash=bindparam("new_hash"), password_scheme=bindparam("new_scheme"))
)
FIND_EMAIL = select(account.c.id).where(
    account.c.email_key == bindparam("wanted"), account.c.email_verified_at.is_not(None)
)
DELETE_ACCOUNT = delete(account).where(account.c.id == bindparam("account_id"))
CAN_COME_IN = or_(  # with a password, or as before: not who was invited and has not come yet
    account.c.password_hash.is_not(None),
    exists().where(
        subject.c.host_id == account.c.id,
        subject.c.closed_at.is_(None),
        subject.c.signed_in_at.is_not(None),
    ),
)
COUNT_ADMINS = (
    select(func.count())
    .select_from(account)
    .where(IS_ADMIN, account.c.disabled_at.is_(None), CAN_COME_IN)
)
COUNT_SCHEMES = select(account.c.password_scheme, func.count().label("accounts")).group_by(
    account.c.password_scheme
)


class OwnAccounts:
    """The accounts in Twinlock's own table."""

    are_ours = True

    def find(
        self, db: Connection, login: str, entry: DirectoryEntry | None = None
    ) -> Account | None:
        """Return the account that *login* (a username or a verified e-mail address) names."""
        key = login_key(login)
        statement = FIND_BY_EMAIL if key.is_email else FIND_BY_USERNAME
        return _account(db.execute(statement, {"key": key.text}).one_or_none())

    def get(self, db: Connection, subject: SubjectId) -> Account | None:
        """Return the open account of *subject*."""
        return account_of(ask_account(db, subject))

    def get_fresh(self, db: Connection, subject: SubjectId) -> Account | None:
        """Return the same: what is read is as fresh as can be."""
        return self.get(db, subject)

    def write_subject(self, tx: Connection, account: Account, *, now: datetime) -> None:
        """Do nothing: an account of ours has its subject from the start."""


def ask_account(db: Connection, subject: SubjectId) -> Rows:
    """Ask for the open account of *subject*, so that other statements travel with this one."""
    return kept(db.execute(GET_BY_SUBJECT, {"subject": subject}))


def account_of(asked: Rows) -> Account | None:
    """Return the account that was asked for."""
    return _account(asked.one_or_none())


def list_accounts(db: Connection, *, after: tuple[datetime, str], limit: int) -> list[Account]:
    """Return accounts in the order of their creation, from *after* on.

    Args:
        after: Creation moment and id of the last account already seen.
        limit: How many at most.
    """
    params = {"after_moment": after[0], "after_id": after[1], "limit": limit}
    return [found for row in db.execute(LIST_ACCOUNTS, params) if (found := _account(row))]


def insert_account(
    tx: Connection,
    *,
    account_id: str,
    username: str,
    username_key: UsernameKey,
    email: str | None,
    email_key: EmailKey | None,
    email_verified_at: datetime | None,
    full_name: str | None,
    roles: Sequence[str],
    password_hash: str | None,
    password_scheme: str | None,
    password_expires_at: datetime | None,
    disabled_at: datetime | None,
    now: datetime,
) -> bool:
    """Create an account; False when its name or address is taken."""
    row = {
        "id": account_id,
        "username": username,
        "username_key": username_key,
        "email": email,
        "email_key": email_key,
        "email_verified_at": email_verified_at,
        "full_name": full_name,
        "name_key": name_key(full_name),
        "roles": " ".join(sorted(set(roles))),
        "disabled_at": disabled_at,
        "password_hash": password_hash,
        "password_scheme": password_scheme,
        "password_changed_at": now if password_hash else None,
        "password_expires_at": password_expires_at,
        "created_at": now,
    }
    return tx.execute(INSERT_ACCOUNT, row).scalar() is not None


def update_profile(tx: Connection, account_id: str, *, full_name: str | None) -> None:
    """Set the full name."""
    tx.execute(
        UPDATE_PROFILE,
        {"account_id": account_id, "new_full_name": full_name, "new_name_key": name_key(full_name)},
    )


def set_language(tx: Connection, account_id: str, language: str | None) -> None:
    """Set the language of an account's pages and mails; None is as if none was ever chosen."""
    tx.execute(SET_LANGUAGE, {"account_id": account_id, "new_language": language})


def learn_language(tx: Connection, account_id: str, language: str) -> None:
    """Set it where none is set yet."""
    tx.execute(LEARN_LANGUAGE, {"account_id": account_id, "new_language": language})


def is_email_taken(db: Connection, email_key: EmailKey) -> bool:
    """Tell whether an account has a verified e-mail address."""
    return db.execute(FIND_EMAIL, {"wanted": email_key}).scalar() is not None


def update_email(
    tx: Connection,
    account_id: str,
    *,
    email: str | None,
    email_key: EmailKey | None,
    verified_at: datetime | None,
) -> bool:
    """Set the e-mail address; False when another account has it."""
    params = {
        "account_id": account_id,
        "new_email": email,
        "new_email_key": email_key,
        "new_verified_at": verified_at,
    }
    try:
        with tx.begin_nested():
            tx.execute(UPDATE_EMAIL, params)
    except IntegrityError:
        return False
    return True


def update_roles(tx: Connection, account_id: str, *, roles: Sequence[str]) -> None:
    """Set the roles."""
    text = " ".join(sorted(set(roles)))
    tx.execute(UPDATE_ROLES, {"account_id": account_id, "new_roles": text})


def update_disabled(tx: Connection, account_id: str, *, disabled_at: datetime | None) -> None:
    """Disable an account, or enable it again with None."""
    tx.execute(UPDATE_DISABLED, {"account_id": account_id, "new_disabled_at": disabled_at})


def update_password(
    tx: Connection,
    account_id: str,
    *,
    password_hash: str,
    scheme: str,
    expires_at: datetime | None,
    by_mailed_link: bool = False,
    now: datetime,
) -> None:
    """Set a password's hash; *expires_at* is given for a first password only."""
    params = {
        "account_id": account_id,
        "new_hash": password_hash,
        "new_scheme": scheme,
        "new_expiry": expires_at,
        "mailed_at": now if by_mailed_link else None,
        "moment": now,
    }
    tx.execute(UPDATE_PASSWORD, params)


def trust_password(tx: Connection, account_id: str) -> None:
    """Forget that a mailed link set the password: a factor beside the mailbox was used since."""
    tx.execute(TRUST_PASSWORD, {"account_id": account_id})


def upgrade_hash(
    tx: Connection, account_id: str, *, verified: str, password_hash: str, scheme: str
) -> bool:
    """Replace the hash that was just verified by a stronger one of the same password."""
    params = {
        "account_id": account_id,
        "verified": verified,
        "new_hash": password_hash,
        "new_scheme": scheme,
    }
    return tx.execute(UPGRADE_HASH, params).rowcount == 1


def delete_account(tx: Connection, account_id: str) -> bool:
    """Remove the account's row."""
    return tx.execute(DELETE_ACCOUNT, {"account_id": account_id}).rowcount == 1


def count_admins(db: Connection) -> int:
    """Return how many enabled accounts hold the role ``admin``."""
    return db.execute(COUNT_ADMINS).scalar_one()


def count_schemes(db: Connection) -> dict[str, int]:
    """Return how many accounts hold a password hash of each scheme and cost."""
    rows = db.execute(COUNT_SCHEMES)
    return {row.password_scheme: row.accounts for row in rows if row.password_scheme}


def _account(row: Row[*tuple[Any, ...]] | None) -> Account | None:
    if row is None:
        return None
    return Account(
        subject=SubjectId(row.subject),
        host_id=row.host_id,
        generation=row.generation,
        seal=row.seal,
        awaits_enrollment=row.awaits_enrollment,
        username=row.username,
        email=row.email,
        full_name=row.full_name,
        roles=tuple(row.roles.split()),
        is_disabled=row.disabled_at is not None,
        password_hash=row.password_hash,
        password_expires_at=row.password_expires_at,
        created_at=row.created_at,
        language=row.language,
        is_email_verified=row.email_verified_at is not None,
        password_mailed_at=row.password_mailed_at,
    )


def every_account() -> Select[Any]:
    """Return what reads accounts, for the search to narrow down."""
    return _ACCOUNT


def accounts_of(rows: Iterable[Row[Any]]) -> list[Account]:
    """Translate rows of `every_account`."""
    return [found for row in rows if (found := _account(row))]
