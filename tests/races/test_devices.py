"""A device's cookie is used once, whoever is first."""

from tests.races.conftest import Stage
from tests.races.crew import Shot, Told, post
from tests.support.house import PASSWORD

COOKIE = "__Host-twinlock-device"


def test_a_device_cookie_used_twice_at_once_signs_in_once(stage: Stage) -> None:
    """One of the two holds a copy: one is let in, the trust is over, and the session, too."""
    stage.house.create()
    john = stage.house.enroll(stage.client)
    for _ in range(3):
        client = stage.house.client()
        body = {"login": stage.begin(), "answer": stage.code(john), "trust_device": True}
        response = client.post("/api/login/totp", json=body)
        cookie = f"{COOKIE}={response.cookies[COOKIE]}"
        login = {"username": "johndoe", "password": PASSWORD}

        shots = [Shot(post, ("/api/login",), {"json": login, "cookie": cookie}) for _ in range(4)]
        answers: list[Told] = stage.fire(shots)

        statuses = sorted(one.body["status"] for one in answers)
        assert statuses == ["second_factor_required"] * 3 + ["signed_in"]
        opened = next(one.body for one in answers if one.body["status"] == "signed_in")
        assert not stage.is_alive(opened)
