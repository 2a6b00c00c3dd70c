"""What changes between two statements of a refresh, as READ COMMITTED lets it."""

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime

from sqlalchemy import Connection

from tests.support.house import OPERATOR, House, bearer, sign_in
from twinlock.accounts.directory import Account, Accounts, DirectoryEntry
from twinlock.audit import store as audit
from twinlock.audit.events import EventType
from twinlock.core.proof import SubjectId
from twinlock.flows.outcomes import Denied
from twinlock.flows.refresh import Refresh


class Interrupted:
    """A directory; before it tells of an account, something else happens, once."""

    def __init__(self, directory: Accounts, meanwhile: Callable[[], None]) -> None:
        self._directory = directory
        self._meanwhile = meanwhile

    are_ours = True

    def find(
        self, db: Connection, login: str, entry: DirectoryEntry | None = None
    ) -> Account | None:
        return self._directory.find(db, login, entry)

    def get(self, db: Connection, subject: SubjectId) -> Account | None:
        self._meanwhile()
        return self._directory.get(db, subject)

    def get_fresh(self, db: Connection, subject: SubjectId) -> Account | None:
        self._meanwhile()
        return self._directory.get_fresh(db, subject)

    def write_subject(self, tx: Connection, account: Account, *, now: datetime) -> None:
        self._directory.write_subject(tx, account, now=now)


def refresh(house: House, token: str, meanwhile: Callable[[], None]) -> object:
    """Refresh while something else happens after the session was read."""
    runtime = house.runtime
    parts = replace(runtime.parts, accounts=Interrupted(runtime.parts.accounts, meanwhile))
    flow = Refresh(parts, runtime.opening)
    return flow.refresh(token, None, OPERATOR, now=house.now)


def test_a_session_that_was_rotated_and_ended_meanwhile_gives_no_token(
    postgres_house: House,
) -> None:
    house = postgres_house
    with house.open() as client:
        house.create()
        tokens = sign_in(client)

        def rotate_and_sign_out() -> None:
            form = {"grant_type": "refresh_token", "refresh_token": tokens["refresh_token"]}
            assert client.post("/token", data=form).status_code == 200
            assert client.post("/api/logout", headers=bearer(tokens)).status_code == 204

        outcome = refresh(house, tokens["refresh_token"], rotate_and_sign_out)

        assert outcome == Denied()


def test_a_session_that_ended_meanwhile_is_no_sign_of_theft(postgres_house: House) -> None:
    """An alarm that anybody's sign-out sets off is an alarm that nobody hears."""
    house = postgres_house
    with house.open() as client:
        house.create()
        tokens = sign_in(client)

        def sign_out() -> None:
            assert client.post("/api/logout", headers=bearer(tokens)).status_code == 204

        outcome = refresh(house, tokens["refresh_token"], sign_out)

        assert outcome == Denied()
        alarms = house.database.reading(audit.list_events, limit=10, type_=EventType.REFRESH_REUSED)
        assert not alarms
