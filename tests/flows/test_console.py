"""What the console reads means the same on both databases."""

from ipaddress import ip_network

from fastapi.testclient import TestClient
from sqlalchemy import event

from tests.support.house import House, bearer, sign_in, token
from twinlock.core.proof import Acr
from twinlock.flows import tallying
from twinlock.flows.account_listing import Wanted, find_accounts
from twinlock.flows.auditing import DENIALS, EventFilter, find_events
from twinlock.flows.mail_administration import MailAdministration, State
from twinlock.policies.policy import Kind, Policy


def test_the_console_reads_the_same_everywhere(house: House, client: TestClient) -> None:
    house.runtime.delivery.close()  # or a mail that is to wait below leaves on a slow machine
    house.create("root", roles=("admin",))
    john = house.create()
    house.enroll(client)
    token(client, "root", "wrong password")
    tokens = sign_in(client, "root")
    client.get("/users/me", headers=bearer(tokens))
    user = house.runtime.sight.remembered(tokens["access_token"])
    console, parts = house.runtime.console, house.runtime.parts

    live, points = console.look(now=house.now)
    house.clock.advance(hours=2)
    counted_hours = tallying.count_hours(parts, now=house.now)
    counted, _ = console.look(now=house.now)

    def names(**wanted: str) -> list[str]:
        found = find_accounts(parts, Wanted(**wanted), cursor=None, limit=50)
        return [one.account.username for one in found.found]

    assert (live.accounts.number, live.with_factor.number, live.denied) == (2, 1, 1)
    assert counted_hours > 0
    assert (counted.signed_in, counted.denied) == (live.signed_in, live.denied)
    assert {point.matter.value for point in points} == {"admins_without_factor", "one_admin"}
    assert names(role="admin") == ["root"]
    assert names(factor="totp") == ["johndoe"]
    assert names(search="john") == ["johndoe", "root"]  # the other by the name of its holder
    assert names(state="disabled") == []
    for state in ("codes_stopped", "behind_policy"):
        assert not console.find_accounts(
            Wanted(state=state), cursor=None, limit=5, now=house.now
        ).found
    listed = {
        state: len(MailAdministration(parts).list_mails(state, cursor=None, limit=5).mails)
        for state in (None, *State)
    }
    assert listed == {None: 1, State.WAITING: 1, State.GIVEN_UP: 0}
    assert console.open(john.subject, now=house.now) is not None
    page = find_events(parts, EventFilter(user="root", types=DENIALS), limit=5)
    assert page is not None
    assert len(page.events) == 1
    assert user is not None
    for acr, behind in ((Acr.AAL2, 1), (Acr.PHR, 2)):
        new = Policy(Kind.EVERYONE, "", acr, house.now)
        seen = console.preview_policy(new, user, since="", now=house.now)
        assert (seen.accounts, seen.behind) == (2, behind)


def test_events_that_are_passed_over_are_not_asked_for_their_names(
    sqlite_house: House, client: TestClient
) -> None:
    """The console looks through some thousand events for an address, and names those it shows."""
    for number in range(5):
        sqlite_house.create(f"person{number}")
        token(client, f"person{number}", "wrong password")
    parts = sqlite_house.runtime.parts
    asked: list[str] = []

    def note(_: object, __: object, statement: str, *___: object) -> None:
        asked.append(statement)

    event.listen(parts.database.engine, "before_cursor_execute", note)
    page = find_events(parts, EventFilter(network=ip_network("203.0.113.0/24")), limit=5)
    event.remove(parts.database.engine, "before_cursor_execute", note)

    assert page is not None
    assert page.events == []
    assert len(asked) == 1
