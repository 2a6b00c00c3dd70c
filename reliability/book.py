"""Compares what people were told with what the store holds (goal R1)."""

import random
import sqlite3
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Select, bindparam, func, select
from sqlalchemy.engine import make_url

from reliability.client import members
from reliability.report import Report
from reliability.visitors import Visitor, code_of, step_now, try_again
from twinlock.core.proof import SubjectId
from twinlock.core.secrets import from_base64url
from twinlock.db.engine import Database
from twinlock.factors.authenticators.tables import authenticator
from twinlock.factors.recovery_codes.tables import recovery_code
from twinlock.sessions.tables import session

CODES = 10
GRACE_SECONDS = 45.0
"""Fifteen less than the grace that the runs set, in which the same parent gives its child."""
SAMPLE = 12
"""How many people are asked over HTTP after each kill; the store is asked about all."""


@dataclass(frozen=True, slots=True)
class Held:
    """What the store holds of one person."""

    sessions: int
    codes: int
    authenticators: int


def _named(token: str) -> bytes:
    """Return which session and which place in it a refresh token names.

    The MAC behind them differs between two workers while a master key is replaced.
    """
    return from_base64url(token.removeprefix("tlr_"))[:20]


class Book:
    """The checker."""

    def __init__(self, database_url: str, report: Report, chance: random.Random) -> None:
        self._database = Database(database_url, pool_size=1)
        self._report = report
        self._chance = chance

    def close(self) -> None:
        self._database.close()

    async def check(self, touched: Sequence[Visitor]) -> None:
        """Settle what was unanswered, then hold the book against the store and the server."""
        for visitor in touched:
            if visitor.unsure is not None:
                await self._settle(visitor)
        held = self.held(touched)
        for visitor in touched:
            if visitor.person.key:
                self._compare(visitor, held[visitor.person.subject])
        asked = self._chance.sample(touched, min(SAMPLE, len(touched)))
        for visitor in asked:
            await self._ask(visitor)

    def held(self, visitors: Sequence[Visitor]) -> dict[str, Held]:
        """Return what the store holds of each."""
        subjects = [visitor.person.subject for visitor in visitors]
        counts: list[dict[str, int]] = []
        for table in (session, recovery_code, authenticator):
            column = table.c.subject_id
            statement = (
                select(column, func.count())
                .where(column.in_(bindparam("subjects", expanding=True)))
                .group_by(column)
            )
            rows = self._database.reading(_rows, statement, subjects)
            counts.append({row[0]: row[1] for row in rows})
        return {one: Held(*(count.get(one, 0) for count in counts)) for one in subjects}

    def _compare(self, visitor: Visitor, held: Held) -> None:
        expect = self._report.expect
        expect(held.authenticators == 1, f"{visitor.name}: {held.authenticators} authenticators")
        spent = CODES - held.codes
        expect(
            spent == visitor.codes_spent,
            f"{visitor.name}: {spent} recovery codes spent, {visitor.codes_spent} told",
        )
        if not visitor.is_counted:
            visitor.sessions, visitor.is_counted = held.sessions, True
        else:
            expect(
                held.sessions == visitor.sessions,
                f"{visitor.name}: {held.sessions} sessions in the store, {visitor.sessions} told",
            )

    async def _ask(self, visitor: Visitor) -> None:
        """Ask the server whether what was told still holds."""
        expect = self._report.expect
        if visitor.tokens is not None and visitor.person.key:
            token = visitor.tokens["refresh_token"]
            reply = await visitor.client.form(
                "/token", grant_type="refresh_token", refresh_token=token
            )
            if expect(
                reply.status == 200, f"{visitor.name}: a session told of is gone ({reply.status})"
            ):
                visitor.tokens = reply.json()
                me = await visitor.client.get("/users/me", token=visitor.tokens["access_token"])
                expect(me.status == 200, f"{visitor.name}: a new access token opens nothing")
        for tokens in visitor.ended:
            me = await visitor.client.get("/users/me", token=tokens["access_token"])
            expect(me.status == 401, f"{visitor.name}: an ended session lives again")
        if visitor.spent is not None and visitor.spent[1] >= step_now() - 1:
            status = await try_again(visitor, visitor.spent[0])
            expect(status != 200, f"{visitor.name}: a code was accepted twice")
            self._report.count("codes shown a second time")

    async def _settle(self, visitor: Visitor) -> None:
        """Repeat what was unanswered: both together must have happened exactly once."""
        unsure, visitor.unsure = visitor.unsure, None
        assert unsure is not None
        match unsure.kind:
            case "token" | "two_steps":
                await self._settle_code(visitor, unsure.secret, step=unsure.step)
            case "recovery":
                visitor.codes_spent += 1
                await self._settle_code(visitor, unsure.secret, step=None)
            case "refresh":
                if time.monotonic() - unsure.sent_at < GRACE_SECONDS:
                    await self._settle_refresh(visitor, unsure.secret)
                else:  # a machine so busy that the restart took longer: it may be a second use
                    visitor.tokens = None
                    self._report.count("settled too late to repeat a refresh")
            case "logout":
                me = await visitor.client.get("/users/me", token=unsure.secret)
                self._settled("logout", was_done=me.status == 401)
                visitor.tokens = None
            case "enroll":
                await self._settle_enrollment(visitor, unsure.secret)

    async def _settle_code(self, visitor: Visitor, code: str, *, step: int | None) -> None:
        before = self.held([visitor])[visitor.person.subject].sessions
        was_done = before == visitor.sessions + 1
        if step is not None and step < step_now() - 1:
            visitor.sessions = before
            visitor.tokens = None
            self._report.count("settled too late to repeat a code")
            return
        if was_done:
            visitor.sessions += 1
        status = await try_again(visitor, code)
        if status != 200 and step is not None and step < step_now() - 1:
            visitor.tokens = None  # its time ended while it was shown
            self._report.count("settled too late to repeat a code")
            return
        self._settled("code", was_done=was_done)
        if was_done:
            self._report.expect(status != 200, f"{visitor.name}: a code was accepted twice")
            visitor.tokens = None  # its tokens were never read
        elif status != 200 and step is not None and step < step_now() - 1:
            visitor.sessions = self.held([visitor])[visitor.person.subject].sessions
            self._report.count("settled too late to repeat a code")  # its time ended meanwhile
        else:
            self._report.expect(
                status == 200, f"{visitor.name}: a code is spent and opened nothing ({status})"
            )
        if step is not None:
            visitor.spent = (code, step)

    async def _settle_refresh(self, visitor: Visitor, token: str) -> None:
        """Ask for the child once more, within the grace that the run sets to a minute."""
        reply = await visitor.client.form("/token", grant_type="refresh_token", refresh_token=token)
        self._report.count("settled refresh")
        if self._report.expect(
            reply.status == 200, f"{visitor.name}: a refresh token died unanswered ({reply.status})"
        ):
            visitor.tokens = reply.json()
            again = await visitor.client.form(
                "/token", grant_type="refresh_token", refresh_token=token
            )
            child = members(again).get("refresh_token", "")
            self._report.expect(
                _named(child) == _named(visitor.tokens["refresh_token"]),
                f"{visitor.name}: two different children ({again.status})",
            )

    async def _settle_enrollment(self, visitor: Visitor, code: str) -> None:
        """Find an enrollment there with its recovery codes and its spent code, or not at all."""
        held = self.held([visitor])[visitor.person.subject]
        was_done = held.authenticators == 1
        self._settled("enrollment", was_done=was_done)
        self._report.expect(
            (held.authenticators, held.codes) in {(0, 0), (1, CODES)},
            f"{visitor.name}: half an enrollment: {held}",
        )
        old = visitor.tokens
        visitor.tokens = None
        if not was_done:
            visitor.person.key = b""
            return
        visitor.is_counted = False
        visitor.person.recovery_codes = []
        if old is not None:
            visitor.ended = [old]
        if code == code_of(visitor.person, step_now()):
            status = await try_again(visitor, code)
            self._report.expect(status != 200, f"{visitor.name}: a confirming code signs in")
            visitor.tokens = None

    def _settled(self, what: str, *, was_done: bool) -> None:
        self._report.count(f"settled {what}: {'done' if was_done else 'undone'}")


def _rows(db: Connection, statement: Select[Any], subjects: list[SubjectId]) -> Sequence[Any]:
    return db.execute(statement, {"subjects": subjects}).all()


def check_sqlite_file(database_url: str, report: Report) -> None:
    """Open the file as nobody else has it open, and have SQLite look at every page."""
    path = make_url(database_url).database
    assert path is not None
    connection = sqlite3.connect(path)
    try:
        found: list[Any] = connection.execute("PRAGMA integrity_check").fetchall()
        report.expect(found == [("ok",)], f"SQLite: {found[:3]}")
        loose: list[Any] = connection.execute("PRAGMA foreign_key_check").fetchall()
        report.expect(not loose, f"SQLite, foreign keys: {loose[:3]}")
    finally:
        connection.close()
