"""A directory over a table of users that the host has in SQLAlchemy already."""

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final, Literal, Protocol, TypeAlias, TypeVar
from uuid import UUID

from sqlalchemy import (
    ColumnElement,
    Connection,
    Engine,
    LargeBinary,
    Select,
    Table,
    bindparam,
    create_engine,
    func,
    or_,
    select,
    update,
)
from sqlalchemy.engine import RowMapping

from twinlock.accounts.directory import DirectoryEntry, MaybeAwaitable, is_storable

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncEngine

__all__ = ["SqlAlchemyDirectory"]

T = TypeVar("T")

Field: TypeAlias = Literal[
    "id", "username", "password_hash", "email", "full_name", "disabled", "active", "roles", "since"
]
_REQUIRED: Final = ("id", "username", "password_hash")
_SAMPLE: Final = 500


class Mapped(Protocol):
    """A declarative class."""

    __table__: Any


class SqlAlchemyDirectory:
    """Finds users in a table of the host's.

    Password hashes are checked by us (bcrypt ``$2b$``, Argon2, PBKDF2, scrypt), one hash for
    each try and for unknown names as well. Everything is read; nothing is written, but for a
    stronger hash of the same password where ``upgrades_hashes`` allows it.
    """

    def __init__(
        self,
        bind: "Engine | AsyncEngine | str",
        table: Table | type[Mapped],
        columns: Mapping[Field, str],
        *,
        login: Sequence[Field] = ("username",),
        ignores_case: bool = False,
        upgrades_hashes: bool = False,
    ) -> None:
        """Map the columns of a table.

        Args:
            bind: The host's engine, or the URL of its database.
            table: The table, or the declarative class that is mapped to it.
            columns: Which column holds what: ``id``, ``username`` and ``password_hash``, and
                what else there is of ``email``, ``full_name``, ``disabled`` (or ``active``,
                its opposite), ``roles`` (a text separated by spaces, or a list) and ``since``
                (when the account was created).
            login: What a person may type: ``username``, ``email`` or both. A text that two
                accounts answer to signs nobody in.
            ignores_case: Whether ``JohnDoe`` is ``johndoe``, as the database's ``lower`` has it.
            upgrades_hashes: Whether outdated hashes are replaced at the next login. Only if
                all of the host that reads them can check Argon2id.

        Raises:
            ValueError: A column is missing, or not one of the table's.
        """
        self._engine: Any = create_engine(bind) if isinstance(bind, str) else bind
        self._table: Table = table if isinstance(table, Table) else table.__table__
        self._columns = dict(columns)
        missing = [name for name in _REQUIRED if name not in columns]
        unknown = [name for name in columns.values() if name not in self._table.c]
        if missing or unknown:
            raise ValueError(f"columns: missing {missing}, not in the table {unknown}")
        self._whole = select(
            *(self._table.c[column].label(name) for name, column in self._columns.items())
        )
        self._find = self._whole.where(
            or_(*(self._fits(name, ignores_case=ignores_case) for name in login))
        ).limit(2)
        id_column = self._table.c[self._columns["id"]]
        self._get = self._whole.where(id_column == bindparam("which", type_=id_column.type))
        hash_column = self._table.c[self._columns["password_hash"]]
        self._hashes = select(hash_column).where(hash_column.is_not(None)).limit(_SAMPLE)
        self._upgrade = (
            update(self._table)
            .where(
                id_column == bindparam("which", type_=id_column.type),
                hash_column == bindparam("verified"),
            )
            .values({hash_column: bindparam("new_hash")})
        )
        self._keeps_bytes = isinstance(hash_column.type, LargeBinary)
        self._id_type: Callable[[str], Any] = _python_type(id_column)
        self._upgrades_hashes = upgrades_hashes

    def find(self, login: str) -> MaybeAwaitable[DirectoryEntry | None]:
        """Return the account that *login* names."""
        if not is_storable(login):
            return None
        return self._run(self._read_one, self._find, {"login": login})

    def get(self, account_id: str) -> MaybeAwaitable[DirectoryEntry | None]:
        """Return the account of an id: *account_id* is its text."""
        try:
            which = self._id_type(account_id)
        except ValueError:
            return None
        return self._run(self._read_one, self._get, {"which": which})

    def some_hashes(self) -> MaybeAwaitable[Collection[str]]:
        """Return password hashes of some accounts."""
        return self._run(self._read_hashes)

    def upgrade_hash(
        self, account_id: str, *, verified: str, password_hash: str
    ) -> MaybeAwaitable[None]:
        """Store a stronger *password_hash*, where that is allowed, if *verified* still is there.

        Args:
            account_id: The text of the id.
            verified: The hash that was there when the password was right.
            password_hash: Argon2id, of the same password.
        """
        if not self._upgrades_hashes:
            return None
        params = {
            "which": self._id_type(account_id),
            "verified": verified.encode() if self._keeps_bytes else verified,
            "new_hash": password_hash.encode() if self._keeps_bytes else password_hash,
        }
        return self._run(self._write, params)

    def _fits(self, name: Field, *, ignores_case: bool) -> ColumnElement[bool]:
        column = self._table.c[self._columns[name]]
        typed = bindparam("login", type_=column.type)
        return func.lower(column) == func.lower(typed) if ignores_case else column == typed

    def _run(self, work: Callable[..., T], *args: Any) -> MaybeAwaitable[T]:
        """Run a piece of work in a transaction, on whichever kind of engine there is."""
        if isinstance(self._engine, Engine):
            with self._engine.begin() as connection:
                return work(connection, *args)
        return self._run_async(work, *args)

    async def _run_async(self, work: Callable[..., T], *args: Any) -> T:
        async with self._engine.begin() as connection:
            result: T = await connection.run_sync(work, *args)
            return result

    def _read_one(
        self, db: Connection, statement: Select[*tuple[Any, ...]], params: Mapping[str, Any]
    ) -> DirectoryEntry | None:
        rows = db.execute(statement, params).mappings().all()
        return self._entry(rows[0]) if len(rows) == 1 else None

    def _read_hashes(self, db: Connection) -> Sequence[str]:
        return [_text(hashed) for hashed in db.execute(self._hashes).scalars()]

    def _write(self, db: Connection, params: Mapping[str, Any]) -> None:
        db.execute(self._upgrade, params)

    def _entry(self, row: RowMapping) -> DirectoryEntry:
        """Return what a row says. An account that is neither enabled nor disabled is disabled."""
        disabled = row.get("disabled", False) is not False and row.get("disabled") != 0
        roles = row.get("roles") or ()
        return DirectoryEntry(
            id=row["id"],
            username=str(row["username"]),
            email=row.get("email"),
            full_name=row.get("full_name"),
            password_hash=_text(row["password_hash"]),
            disabled=disabled or not row.get("active", True),
            roles=roles.split() if isinstance(roles, str) else tuple(roles),
            since=row.get("since"),
        )


def _python_type(column: ColumnElement[Any]) -> Callable[[str], Any]:
    """Return what makes a value of the column of its text; types of the host's take the text."""
    try:
        kind = column.type.python_type
    except NotImplementedError:
        return str
    return kind if kind in {int, UUID} else str


def _text(hashed: Any) -> Any:
    """Return a hash as text, which some tables keep as the bytes that `bcrypt.hashpw` gives."""
    return hashed.decode("ascii", "replace") if isinstance(hashed, bytes) else hashed
