"""Signing in, as clients see it."""

from fastapi.testclient import TestClient

from tests.support.house import PASSWORD, House, bearer, begin_login, sign_in, token


def test_a_code_signs_in_only_once(house: House, client: TestClient) -> None:
    """RFC 6238 section 5.2: the second use of a code must be refused."""
    house.create()
    enrolled = house.enroll(client)
    house.clock.advance(seconds=30)
    code = enrolled.phone.code(house.now)

    first = client.post(
        "/api/login/totp", json={"login": begin_login(client)["login"], "answer": code}
    )
    second = client.post(
        "/api/login/totp", json={"login": begin_login(client)["login"], "answer": code}
    )

    assert (first.status_code, second.status_code) == (200, 401)


def test_the_code_may_follow_the_password(house: House, client: TestClient) -> None:
    house.create()
    enrolled = house.enroll(client)
    house.clock.advance(seconds=30)

    tokens = sign_in(client, password=PASSWORD + enrolled.phone.code(house.now))

    me = client.get("/users/me", headers=bearer(tokens))
    assert me.json() == {
        "username": "johndoe",
        "email": "johndoe@example.com",
        "full_name": "John Doe",
        "disabled": False,
    }


def test_the_password_alone_is_told_that_a_second_factor_is_required(
    house: House, client: TestClient
) -> None:
    house.create()
    house.enroll(client)

    answer = token(client, "johndoe", PASSWORD)

    assert answer.status_code == 403
    assert answer.json()["error"] == "mfa_required"
    assert [one["method"] for one in answer.json()["methods"]] == ["totp", "recovery_codes"]
