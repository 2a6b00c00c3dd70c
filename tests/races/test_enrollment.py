"""An enrollment inside a login ends once, whoever is first."""

from tests.api.test_enrollment import begin, phone_of, reset
from tests.races.conftest import Stage
from tests.races.crew import Shot, post
from tests.support.house import begin_login
from twinlock.flows.outcomes import Refused


def test_one_enrollment_signs_in_once(stage: Stage) -> None:
    """The right code at several workers at once: one session, one set of recovery codes."""
    stage.house.create()
    for _ in range(3):
        link = reset(stage.house)
        login, other = (begin_login(stage.client)["login"] for _ in range(2))
        begun, twin = (begin(stage.client, one, link).json() for one in (login, other))
        shots = []
        for handle, its in ((login, begun), (other, twin)):
            body = {
                "login": handle,
                "enrollment": its["enrollment"],
                "answer": phone_of(its).code(stage.house.now),
                "label": "Phone",
            }
            path = "/api/enrollment/totp/confirm"
            shots += [Shot(post, (path,), {"json": body}) for _ in range(3)]

        statuses = stage.statuses(shots)

        assert statuses.count(200) == 1
        assert set(statuses) <= {200, 400, 401}
        found = stage.house.factor_administration.find_authenticators(stage.house.account())
        assert not isinstance(found, Refused)
        assert [one.method for one in found] == ["totp"]
