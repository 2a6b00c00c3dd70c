"""A clock that is set while its server runs (goal R3): libfaketime, read anew at every look."""

import contextlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

from benchmarks.installation import PASSWORD, Person
from benchmarks.load import Reply
from reliability.client import Client, ip_of, members
from reliability.injections import Stage
from reliability.report import Report
from reliability.visitors import code_of, step_now

FAKETIME: Final = Path("/usr/lib/x86_64-linux-gnu/faketime/libfaketimeMT.so.1")
STEP_SECONDS: Final = 1200
"""Longer than an access token lives, and than a code is taken."""
_STEP: Final = STEP_SECONDS // 30


def faked(*, clock: Path | None = None, seconds: int = 0) -> Mapping[str, str]:
    """Return the environment of a server whose clock is not this machine's.

    Args:
        clock: A file that says by how much, read at every look; else it is *seconds* for ever.
    """
    how = (
        {"FAKETIME": f"{seconds:+d}s"}
        if clock is None
        else {"FAKETIME_TIMESTAMP_FILE": str(clock), "FAKETIME_NO_CACHE": "1"}
    )
    return {"LD_PRELOAD": str(FAKETIME), "FAKETIME_DONT_FAKE_MONOTONIC": "1", **how}


class SetClock:
    """Sets the clock of a running server, and looks what it takes for right then.

    Whoever signs in here is nobody else's: their last step lies where no other clock is.
    """

    def __init__(self, *, steps: int) -> None:
        """Set it by so many steps of thirty seconds, back where they are below zero."""
        self._steps = steps
        self._step = 0
        self._tokens: dict[str, str] = {}
        self._person: Person | None = None

    async def beforehand(self, stage: Stage, report: Report) -> None:
        """Sign in where the clock will be set back: that code is then one of the future."""
        self._person = stage.spare.pop()
        if self._steps < 0:
            self._step = step_now()
            reply = await self._sign_in(stage, self._step)
            report.expect(reply.status == 200, f"before the clock is set: {reply.status}")
            self._tokens = members(reply)

    @contextlib.contextmanager
    def inject(self, stage: Stage) -> Iterator[None]:
        """Start the server anew under a clock that can be set, and set it."""
        clock = stage.folder / "clock"
        _set(clock, 0)
        stage.server.stop()
        stage.server.environment.update(faked(clock=clock))
        stage.server.start()
        stage.server.wait_until_ready()
        _set(clock, self._steps * 30)
        try:
            yield
        finally:
            _set(clock, 0)

    async def meanwhile(self, stage: Stage, report: Report) -> None:
        """Try codes of both clocks, and those that were spent."""
        name = f"clock set by {self._steps * 30:+d} s"
        here, there = step_now(), step_now() + self._steps
        if self._steps > 0:
            status = (await self._sign_in(stage, here)).status
            report.expect(status == 400, f"{name}: an old code signs in ({status})")
            self._step = there
            reply = await self._sign_in(stage, there)
            report.expect(reply.status == 200, f"{name}: a code of now answered {reply.status}")
            self._tokens = members(reply)
        else:
            status = (await self._sign_in(stage, there)).status
            report.expect(status == 400, f"{name}: a code older than the last ({status})")
            reply = await self._sign_in(stage, otp=self._owner.recovery_codes[0])
            report.expect(reply.status == 200, f"{name}: a recovery code: {reply.status}")
        await self._expect_spent(stage, report, name)

    async def afterwards(self, stage: Stage, report: Report) -> None:
        """Expect what was spent to stay so, and who signed in meanwhile to go on."""
        name = f"clock set by {self._steps * 30:+d} s and back"
        await self._expect_spent(stage, report, name)
        token = self._tokens.get("refresh_token", "")
        reply = await _client(stage).form("/token", grant_type="refresh_token", refresh_token=token)
        report.expect(reply.status == 200, f"{name}: a session is gone ({reply.status})")
        access = members(reply).get("access_token")
        me = await _client(stage).get("/users/me", token=access)
        report.expect(me.status == 200, f"{name}: a new access token: {me.status}")

    async def _expect_spent(self, stage: Stage, report: Report, name: str) -> None:
        status = (await self._sign_in(stage, self._step)).status
        report.expect(status == 400, f"{name}: a spent code signs in ({status})")

    async def _sign_in(self, stage: Stage, step: int | None = None, *, otp: str = "") -> Reply:
        code = code_of(self._owner, step) if step is not None else otp
        return await _client(stage).form(
            "/token",
            grant_type="password",
            username=self._owner.username,
            password=PASSWORD,
            otp=code,
        )

    @property
    def _owner(self) -> Person:
        assert self._person is not None
        return self._person


def _set(clock: Path, seconds: int) -> None:
    written = clock.with_suffix(".new")
    written.write_text(f"{seconds:+d}\n")
    written.chmod(0o644)
    written.replace(clock)


def _client(stage: Stage) -> Client:
    return Client(stage.server.address, ip_of(65_002))
