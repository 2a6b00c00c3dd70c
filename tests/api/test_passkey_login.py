"""``/api/passkey``: signing in with a passkey alone."""

import os
import subprocess
import sys
from typing import Any

import pytest
from fastapi.testclient import TestClient
from httpx2 import Response
from sqlalchemy import text

from tests.support.home import told
from tests.support.house import OPERATOR, PASSWORD, House, bearer, begin_login, sign_in, token
from twinlock.flows.factor_administration import Removed
from twinlock.testing.authenticator import FakeAuthenticator


@pytest.fixture
def device() -> FakeAuthenticator:
    return FakeAuthenticator()


@pytest.fixture
def john(house: House, client: TestClient, device: FakeAuthenticator) -> dict[str, Any]:
    house.create()
    return house.enroll_passkey(client, device, sign_in(client))


def begin(client: TestClient) -> dict[str, Any]:
    begun = client.post("/api/passkey/begin", json={})
    assert begun.status_code == 200, begun.text
    body: dict[str, Any] = begun.json()
    return body


def finish(client: TestClient, begun: dict[str, Any], credential: Any, **more: Any) -> Response:
    body = {"login": begun["login"], "answer": credential, **more}
    return client.post("/api/passkey/finish", json=body)


def sign(client: TestClient, device: FakeAuthenticator) -> Response:
    """Sign in with the newest passkey of a device."""
    begun = begin(client)
    return finish(client, begun, device.sign(device.passkeys[-1], begun["options"]["challenge"]))


def test_a_verified_passkey_signs_in_alone(
    john: dict[str, Any], client: TestClient, device: FakeAuthenticator
) -> None:
    begun = begin(client)

    done = finish(client, begun, device.get(begun["options"]))

    assert begun["expires_in"] == 300
    assert begun["options"]["userVerification"] == "required"
    assert begun["options"]["allowCredentials"] == []
    assert begun["options"]["rpId"] == "localhost"
    assert done.status_code == 200
    assert (done.json()["status"], done.json()["token_type"]) == ("signed_in", "bearer")
    assert (done.json()["acr"], done.json()["amr"]) == ("phr", ["swk", "user", "mfa"])
    me = client.get("/users/me", headers=bearer(done.json()))
    assert me.json()["username"] == "johndoe"


def test_a_passkey_that_verifies_nobody_is_denied(house: House, client: TestClient) -> None:
    """A key without a PIN is a second factor after a password, nothing else."""
    device = FakeAuthenticator(verifies_user=False)
    house.create()
    house.enroll_passkey(client, device, sign_in(client))

    assert sign(client, device).status_code == 401


def test_an_answer_signs_in_only_once(
    john: dict[str, Any], client: TestClient, device: FakeAuthenticator
) -> None:
    begun = begin(client)
    credential = device.get(begun["options"])

    first = finish(client, begun, credential)
    same = finish(client, begun, credential)
    other = finish(client, begin(client), credential)

    assert [one.status_code for one in (first, same, other)] == [200, 401, 401]


def test_a_spent_answer_stays_spent_when_another_came_between(
    john: dict[str, Any], client: TestClient, device: FakeAuthenticator
) -> None:
    begun = begin(client)
    credential = device.get(begun["options"])
    finish(client, begun, credential)
    assert sign(client, device).status_code == 200

    assert finish(client, begun, credential).status_code == 401


def test_a_spent_answer_stays_spent_through_a_change_of_factors(
    john: dict[str, Any], client: TestClient, device: FakeAuthenticator
) -> None:
    """What is pending dies with the generation; what was spent does not come back with it."""
    begun = begin(client)
    credential = device.get(begun["options"])
    tokens = finish(client, begun, credential).json()
    made = client.post("/api/factors/recovery_codes", json={}, headers=bearer(tokens))
    assert made.status_code == 201
    assert sign(client, device).status_code == 200

    assert finish(client, begun, credential).status_code == 401


def test_a_challenge_dies_after_five_minutes(
    john: dict[str, Any], house: House, client: TestClient, device: FakeAuthenticator
) -> None:
    early, late = begin(client), begin(client)
    house.clock.advance(seconds=299)
    in_time = finish(client, early, device.get(early["options"]))
    house.clock.advance(seconds=1)

    too_late = finish(client, late, device.get(late["options"]))

    assert (in_time.status_code, too_late.status_code) == (200, 401)


def test_challenges_of_the_two_doors_are_not_exchanged(
    john: dict[str, Any], client: TestClient, device: FakeAuthenticator
) -> None:
    alone, pending = begin(client), begin_login(client)
    after_password = next(one for one in pending["methods"] if one["method"] == "passkey")

    crossed = finish(client, {"login": pending["login"]}, device.get(alone["options"]))
    signed = finish(client, alone, device.get(after_password["options"]))
    back = client.post(
        "/api/login/passkey",
        json={"login": alone["login"], "answer": device.get(alone["options"])},
    )

    assert [one.status_code for one in (crossed, signed, back)] == [401, 401, 401]


def test_the_user_handle_must_come_and_be_the_accounts(
    john: dict[str, Any], client: TestClient, device: FakeAuthenticator
) -> None:
    """WebAuthn Level 3 section 7.2 step 6."""
    answers = []
    for handle in ("AAAA", None):
        begun = begin(client)
        credential = device.get(begun["options"])
        credential["response"]["userHandle"] = handle
        answers.append(finish(client, begun, credential).status_code)

    assert answers == [401, 401]


def test_every_denial_is_the_same(
    john: dict[str, Any], house: House, client: TestClient, device: FakeAuthenticator
) -> None:
    unknown = FakeAuthenticator()
    options = {"rp": {"id": "localhost"}, "user": {"id": "AAAA"}, "challenge": "AAAA"}
    unknown.create({**options, "pubKeyCredParams": [{"alg": -7}]})
    wrong = finish(client, begin(client), device.sign(device.passkeys[0], "AAAA"))
    nobody = sign(client, unknown)
    garbage = finish(client, begin(client), {"id": "x"})
    dead = finish(client, {"login": "nobody's"}, device.sign(device.passkeys[0], "AAAA"))
    account = house.account()
    house.administration.disable(account, OPERATOR, now=house.now)

    disabled = sign(client, device)

    password = client.post("/api/login", json={"username": "nobody", "password": "x" * 9})
    denials = [wrong, nobody, garbage, dead, disabled, password]
    assert [one.status_code for one in denials] == [401] * 6
    assert len({one.content for one in denials}) == 1
    assert len({str(told(one)[2]) for one in denials}) == 1


def test_a_reset_account_is_not_opened_by_its_old_passkey(
    john: dict[str, Any], house: House, client: TestClient, device: FakeAuthenticator
) -> None:
    house.factor_administration.reset(house.account(), OPERATOR, now=house.now)

    assert sign(client, device).status_code == 401


def test_beginning_leaves_no_trace(house: House, client: TestClient) -> None:
    """Anybody may begin, as often as they like."""

    def rows() -> list[int]:
        counts = [text(f"SELECT count(*) FROM {name}") for name in ("pending", "throttle", "event")]
        return house.database.reading(
            lambda db: [db.execute(count).scalar_one() for count in counts]
        )

    before = rows()
    for _ in range(20):
        begin(client)
        finish(client, {"login": "no handle of ours"}, {"id": "x"})

    assert rows() == before


def test_a_network_that_guesses_waits(sqlite_house: House) -> None:
    device = FakeAuthenticator()
    house = sqlite_house.again(passkey_tries_network_1h=3)
    with house.open() as client:
        house.create()
        house.enroll_passkey(client, device, sign_in(client))
        guesses = [finish(client, begin(client), {"id": "AAAA"}).status_code for _ in range(4)]
        there = sign(client, device)
        elsewhere = sign(house.client("192.0.2.7"), device)

    assert guesses == [401, 401, 401, 429]
    assert there.status_code == 429
    assert int(there.headers["retry-after"]) > 0
    assert elsewhere.status_code == 200


def test_right_answers_use_up_no_count(sqlite_house: House) -> None:
    device = FakeAuthenticator()
    house = sqlite_house.again(passkey_tries_network_1h=2)
    with house.open() as client:
        house.create()
        house.enroll_passkey(client, device, sign_in(client))

        assert [sign(client, device).status_code for _ in range(7)] == [200] * 7


def test_a_browser_that_is_known_does_not_wait_for_its_network(sqlite_house: House) -> None:
    """No neighbour locks anybody out on the own browser."""
    device = FakeAuthenticator()
    house = sqlite_house.again(passkey_tries_network_1h=3)
    with house.open() as client:
        house.create()
        house.enroll_passkey(client, device, sign_in(client))
        client.headers["origin"] = "http://localhost:8000"
        known = sign(client, device).headers["set-cookie"].partition(";")[0]
        client.headers["cookie"] = known  # which only a browser's localhost sends over http
        neighbour = house.client()
        for _ in range(4):
            finish(neighbour, begin(neighbour), {"id": "AAAA"})

        assert sign(neighbour, device).status_code == 429
        assert sign(client, device).status_code == 200


def test_wrong_answers_for_an_account_are_its_second_factor_tries(sqlite_house: House) -> None:
    """One count for all methods and doors; only the holder of a login is told of it."""
    device = FakeAuthenticator()
    with sqlite_house.open() as client:
        sqlite_house.create()
        enrolled = sqlite_house.enroll(client)
        sqlite_house.enroll_passkey(client, device, enrolled.tokens)
        begun = begin_login(client)
        wrong = [
            finish(client, begin(client), device.sign(device.passkeys[0], "AAAA")).status_code
            for _ in range(5)
        ]
        sixth = sign(client, device)
        by_code = client.post(
            "/api/login/totp",
            json={"login": begun["login"], "answer": enrolled.phone.code(sqlite_house.now)},
        )

    assert wrong == [401] * 5
    assert sixth.status_code == 401
    assert by_code.status_code == 429


def test_a_browser_gets_a_cookie(
    john: dict[str, Any], client: TestClient, device: FakeAuthenticator
) -> None:
    client.headers["origin"] = "http://localhost:8000"
    begun = begin(client)

    done = finish(client, begun, device.get(begun["options"]), transport="cookie")

    assert done.status_code == 200
    assert "access_token" not in done.json()
    assert "__Host-twinlock" in done.headers["set-cookie"]


def test_another_site_signs_nobody_in(
    john: dict[str, Any], client: TestClient, device: FakeAuthenticator
) -> None:
    """Login CSRF."""
    begun = begin(client)
    credential = device.get(begun["options"])
    client.headers["origin"] = "https://evil.example"

    denied = finish(client, begun, credential)

    assert (denied.status_code, denied.json()["type"]) == (403, "cross_site_request")


def test_a_step_up_by_a_key_that_verifies_nobody_is_not_phishing_resistant_without_a_password(
    john: dict[str, Any], client: TestClient, device: FakeAuthenticator
) -> None:
    begun = begin(client)
    tokens = finish(client, begun, device.get(begun["options"])).json()
    again = client.post("/api/reauthenticate", json={}, headers=bearer(tokens)).json()
    options = next(one["options"] for one in again["methods"] if one["method"] == "passkey")
    device.verifies_user = False

    done = client.post(
        "/api/reauthenticate/passkey",
        json={"reauthentication": again["reauthentication"], "answer": device.get(options)},
        headers=bearer(tokens),
    )

    assert (done.status_code, done.json()["acr"]) == (200, "aal2")


@pytest.mark.parametrize(
    "settings",
    [{"base_url": "http://127.0.0.1:8000"}, {"base_url": "http://[::1]:8000"}],
    ids=["IPv4", "IPv6"],
)
def test_there_are_no_passkeys_on_an_address(sqlite_house: House, settings: dict[str, str]) -> None:
    """WebAuthn Level 3 section 5.1.3 step 8: an address cannot be an RP id."""
    house = sqlite_house.again(**settings)
    with house.open() as client:
        client.base_url = settings["base_url"]
        house.create()
        headers = bearer(sign_in(client))

        assert client.post("/api/passkey/begin", json={}).status_code == 404
        assert client.post("/api/factors/passkey", json={}, headers=headers).status_code == 400


def test_without_passkeys_an_account_that_has_one_stays_shut(sqlite_house: House) -> None:
    """As when the server is started without the extra: its other factors go on."""
    with sqlite_house.open() as client:
        sqlite_house.create()
        enrolled = sqlite_house.enroll_passkey(client, FakeAuthenticator(), sign_in(client))
    house = sqlite_house.again(base_url="http://127.0.0.1:8000")
    with house.open() as client:
        client.base_url = "http://127.0.0.1:8000"

        assert token(client, "johndoe", PASSWORD).status_code == 403
        code = enrolled["recovery_codes"][0]
        assert token(client, "johndoe", PASSWORD, otp=code).status_code == 200


def test_who_uses_no_passkey_loads_no_webauthn(sqlite_house: House) -> None:
    """In a process of its own, which signs in with a password."""
    sqlite_house.create()
    script = (
        "import sys\n"
        "from fastapi.testclient import TestClient\n"
        "from twinlock.login_server import create_app\n"
        "from twinlock.config.settings import Settings\n"
        "with TestClient(create_app(Settings()), base_url='http://localhost:8000') as client:\n"
        "    body = {'username': 'nobody', 'password': 'x' * 9}\n"
        "    assert client.post('/api/login', json=body).status_code == 401\n"
        "    assert client.post('/api/passkey/begin', json={}).status_code == 200\n"
        "assert 'webauthn' not in sys.modules, 'loaded'\n"
        "assert 'OpenSSL' not in sys.modules, 'loaded'\n"
    )
    environ = {
        "PATH": os.environ["PATH"],
        "TWINLOCK_ENVIRONMENT": "development",
        "TWINLOCK_DATA_DIR": str(sqlite_house.settings.data_dir),
        "TWINLOCK_DATABASE_URL": sqlite_house.settings.database_url,
    }

    done = subprocess.run(
        [sys.executable, "-c", script], env=environ, capture_output=True, text=True, check=False
    )

    assert done.returncode == 0, done.stderr


def test_a_passkey_is_enrolled_inside_a_login(house: House, client: TestClient) -> None:
    """After a reset: the password and the reset's token, then a passkey is the first factor."""
    house.create()
    house.enroll(client)
    done = house.factor_administration.reset(house.account(), OPERATOR, now=house.now)
    assert isinstance(done, Removed)
    device = FakeAuthenticator()
    login = client.post("/api/login", json={"username": "johndoe", "password": PASSWORD}).json()
    begun = client.post(
        "/api/enrollment/passkey", json={"login": login["login"], "token": done.link}
    ).json()
    body = {
        "login": login["login"],
        "enrollment": begun["enrollment"],
        "answer": device.create(begun["options"]),
        "label": "Phone",
    }

    signed_in = client.post("/api/enrollment/passkey/confirm", json=body)

    assert "passkey" in login["methods"]
    assert (signed_in.status_code, signed_in.json()["acr"]) == (200, "phr")
    assert sign(client, device).status_code == 200
