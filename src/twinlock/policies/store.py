"""All SQL of the policies, and the seal over them.

They are one document in one row: a login reads it with one statement and parses it only when
it has changed. The seal is a MAC over document and revision, so that who can write to the
database but does not hold the master keys cannot weaken a policy; such a document opens nothing.
The row is there from the beginning, before there is any policy: where it is gone, somebody took it.
"""

import json
import logging
from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final

from sqlalchemy import (
    BigInteger,
    Connection,
    Row,
    bindparam,
    delete,
    insert,
    literal,
    select,
    update,
)

from twinlock.core.errors import SealBrokenError
from twinlock.core.keyring import Keyring
from twinlock.core.proof import Acr
from twinlock.db.conflict import on_conflict
from twinlock.db.rows import Rows, kept
from twinlock.db.types import UtcDateTime
from twinlock.policies.policy import Kind, Policy
from twinlock.policies.tables import policy

log = logging.getLogger("twinlock.policies")

_THE_ROW: Final = 1
_SEAL: Final = "policy"

GET_POLICIES = select(policy).where(policy.c.id == _THE_ROW)
INSERT_POLICIES = insert(policy).ext(on_conflict("DO NOTHING")).returning(policy.c.id)
UPDATE_POLICIES = (
    update(policy)
    .where(policy.c.id == _THE_ROW, policy.c.revision == bindparam("seen"))
    .values(
        document=bindparam("new_document"),
        revision=policy.c.revision + literal(1, BigInteger),
        seal=bindparam("new_seal"),
        changed_at=bindparam("moment", type_=UtcDateTime()),
    )
)
DELETE_POLICIES = delete(policy).where(policy.c.id == _THE_ROW)
RESEAL_POLICIES = (
    update(policy)
    .where(policy.c.id == _THE_ROW, policy.c.seal == bindparam("old_seal"))
    .values(seal=bindparam("new_seal"))
)


class PolicyBook:
    """The policies of one installation, parsed once for as long as they stay the same."""

    def __init__(self, keyring: Keyring) -> None:
        self._keyring = keyring
        self._read: tuple[bytes, str, tuple[Policy, ...]] = (b"", "", ())

    def read(self, db: Connection) -> tuple[Policy, ...]:
        """Return every policy.

        Raises:
            SealBrokenError: Somebody else wrote the row.
        """
        return self.policies_of(self.ask(db))

    def ask(self, db: Connection) -> Rows:
        """Ask for the policies, so that other statements travel with this one."""
        return kept(db.execute(GET_POLICIES))

    def policies_of(self, asked: Rows) -> tuple[Policy, ...]:
        """Return the policies that were asked for.

        Raises:
            SealBrokenError: Somebody else wrote the row, or took it away.
        """
        row = asked.one_or_none()
        if row is None:
            log.critical("policy_seal_broken")
            raise SealBrokenError("the policies are gone")
        seal, document, policies = self._read
        if row.seal == seal and row.document == document:
            return policies
        self._require_seal(row)
        policies = tuple(_policy(one) for one in json.loads(row.document))
        self._read = (row.seal, row.document, policies)
        return policies

    def write_first(self, tx: Connection, *, now: datetime) -> None:
        """Write the row that says that there is no policy, unless there is a row."""
        tx.execute(INSERT_POLICIES, self._row("[]", 0, now=now))

    def write(self, tx: Connection, policies: Sequence[Policy], *, now: datetime) -> bool:
        """Replace every policy; False when somebody else did just now. Read them in *tx* first."""
        document = _document_of(policies)
        row = tx.execute(GET_POLICIES).one_or_none()
        if row is None:
            return False
        params = {
            "seen": row.revision,
            "new_document": document,
            "new_seal": self._keyring.mac(_SEAL, document, str(row.revision + 1)),
            "moment": now,
        }
        return tx.execute(UPDATE_POLICIES, params).rowcount == 1

    def write_anew(self, tx: Connection, policies: Sequence[Policy], *, now: datetime) -> bool:
        """Replace the row, whatever became of it; False when somebody else did just now."""
        tx.execute(DELETE_POLICIES)
        row = self._row(_document_of(policies), 1, now=now)
        return tx.execute(INSERT_POLICIES, row).scalar() is not None

    def _row(self, document: str, revision: int, *, now: datetime) -> dict[str, Any]:
        return {
            "id": _THE_ROW,
            "document": document,
            "revision": revision,
            "seal": self._keyring.mac(_SEAL, document, str(revision)),
            "changed_at": now,
        }

    def reseal(self, tx: Connection) -> int:
        """Seal the row under the newest master key; return how many values were re-sealed."""
        row = tx.execute(GET_POLICIES).one_or_none()
        if row is None or not self._keyring.is_stale_mac(row.seal):
            return 0
        self._require_seal(row)
        seal = self._keyring.mac(_SEAL, row.document, str(row.revision))
        return tx.execute(RESEAL_POLICIES, {"old_seal": row.seal, "new_seal": seal}).rowcount

    def _require_seal(self, row: Row[Any]) -> None:
        if not self._keyring.is_mac(row.seal, _SEAL, row.document, str(row.revision)):
            log.critical("policy_seal_broken")
            raise SealBrokenError("the policies are not those that were set")


def _document_of(policies: Sequence[Policy]) -> str:
    return json.dumps([_facts(one) for one in policies], sort_keys=True)


def _facts(one: Policy) -> dict[str, Any]:
    return {
        "kind": one.kind,
        "name": one.name,
        "acr": one.acr,
        "since": one.since.isoformat(),
        "methods": list(one.methods),
        "trusts_devices": one.trusts_devices,
        "reminds": one.reminds,
    }


def _policy(facts: dict[str, Any]) -> Policy:
    return Policy(
        kind=Kind(facts["kind"]),
        name=facts["name"],
        acr=Acr(facts["acr"]),
        since=datetime.fromisoformat(facts["since"]),
        methods=tuple(facts["methods"]),
        trusts_devices=facts["trusts_devices"],
        reminds=facts.get("reminds", True),  # documents of earlier releases do not say
    )
