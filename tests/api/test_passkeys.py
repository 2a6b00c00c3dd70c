"""Passkeys through the API: enrolling, the second step, step-up, and at the token endpoint."""

import json
from typing import Any

import pytest
from fastapi.testclient import TestClient
from httpx2 import Response
from sqlalchemy import text

from tests.support.house import PASSWORD, House, bearer, begin_login, sign_in, token
from twinlock.audit import store as audit
from twinlock.audit.events import EventType
from twinlock.core.proof import Reason
from twinlock.core.secrets import from_base64url
from twinlock.testing.authenticator import FakeAuthenticator

SECOND_FACTOR = "urn:twinlock:params:oauth:grant-type:second-factor"


@pytest.fixture
def device() -> FakeAuthenticator:
    return FakeAuthenticator()


@pytest.fixture
def john(house: House, client: TestClient, device: FakeAuthenticator) -> dict[str, Any]:
    """What enrolling a passkey as the first factor was answered with."""
    house.create()
    return house.enroll_passkey(client, device, sign_in(client))


def options_of(begun: dict[str, Any]) -> dict[str, Any]:
    """Return the options of a passkey among the methods offered."""
    found: dict[str, Any] = next(
        one["options"] for one in begun["methods"] if one["method"] == "passkey"
    )
    return found


def answer(client: TestClient, begun: dict[str, Any], credential: Any) -> Response:
    body = {"login": begun["login"], "answer": credential}
    return client.post("/api/login/passkey", json=body)


def test_enrollment_asks_for_a_credential_of_this_account(house: House, client: TestClient) -> None:
    """WebAuthn Level 3 section 5.4."""
    account = house.create()

    begun = client.post("/api/factors/passkey", json={}, headers=bearer(sign_in(client))).json()

    options = begun["options"]
    handle = from_base64url(options["user"]["id"])
    assert begun["expires_in"] == 600
    assert options["rp"] == {"id": "localhost", "name": "Twinlock"}
    assert options["attestation"] == "none"
    assert options["excludeCredentials"] == []
    assert [one["alg"] for one in options["pubKeyCredParams"]] == [-7, -8, -257]
    assert len(from_base64url(options["challenge"])) >= 16
    assert 16 <= len(handle) <= 64
    assert account.username.encode() not in handle
    assert account.subject.encode() not in handle


def test_the_first_passkey_brings_recovery_codes_and_a_phishing_resistant_session(
    john: dict[str, Any], client: TestClient
) -> None:
    assert len(john["recovery_codes"]) == 10
    assert john["factor"]["method"] == "passkey"
    assert john["factor"]["label"] == "Key"
    assert (john["acr"], john["amr"]) == ("phr", ["pwd", "swk", "user", "mfa"])


def test_a_password_and_a_passkey_sign_in(
    john: dict[str, Any], client: TestClient, device: FakeAuthenticator
) -> None:
    begun = begin_login(client)
    options = options_of(begun)

    done = answer(client, begun, device.get(options))

    assert done.status_code == 200
    assert (done.json()["acr"], done.json()["amr"]) == ("phr", ["pwd", "swk", "user", "mfa"])
    assert [one["id"] for one in options["allowCredentials"]]
    assert options["rpId"] == "localhost"
    assert options["timeout"] == 300_000


def test_a_key_that_verifies_nobody_is_a_second_factor(house: House, client: TestClient) -> None:
    device = FakeAuthenticator(verifies_user=False, is_synced=False)
    house.create()
    house.enroll_passkey(client, device, sign_in(client))
    begun = begin_login(client)

    done = answer(client, begun, device.get(options_of(begun)))

    assert done.status_code == 200
    assert (done.json()["acr"], done.json()["amr"]) == ("phr", ["pwd", "hwk", "user", "mfa"])


def test_the_password_alone_gets_no_token(
    john: dict[str, Any], client: TestClient, device: FakeAuthenticator
) -> None:
    """An account whose only factor is a passkey: neither bare, nor with anything appended."""
    bare = token(client, "johndoe", PASSWORD)
    appended = token(client, "johndoe", f"{PASSWORD}123456")
    otp = token(client, "johndoe", PASSWORD, otp="123456")

    assert (bare.status_code, bare.json()["error"]) == (403, "mfa_required")
    assert appended.status_code == otp.status_code == 400
    assert appended.content == otp.content


def test_the_second_factor_grant_takes_the_credential_as_text(
    john: dict[str, Any], client: TestClient, device: FakeAuthenticator
) -> None:
    begun = token(client, "johndoe", PASSWORD).json()
    form = {
        "grant_type": SECOND_FACTOR,
        "mfa_token": begun["mfa_token"],
        "method": "passkey",
        "answer": json.dumps(device.get(options_of(begun))),
    }

    first, again = client.post("/token", data=form), client.post("/token", data=form)

    assert first.status_code == 200
    assert (again.status_code, again.json()["error"]) == (400, "invalid_grant")


def test_a_new_challenge_voids_the_older_and_keeps_the_counts(
    john: dict[str, Any], client: TestClient, device: FakeAuthenticator
) -> None:
    begun = begin_login(client)
    old = device.get(options_of(begun))
    renewed = client.post("/api/login/passkey/begin", json={"login": begun["login"]}).json()

    denied = answer(client, begun, old)
    done = answer(client, begun, device.get(renewed["options"]))

    assert renewed["method"] == "passkey"
    assert (denied.status_code, done.status_code) == (401, 200)


def test_beginning_another_method_leaves_the_challenge_as_it_is(
    john: dict[str, Any], client: TestClient, device: FakeAuthenticator
) -> None:
    begun = begin_login(client)
    login = {"login": begun["login"]}

    other = client.post("/api/login/recovery_codes/begin", json=login)
    nothing = client.post("/api/login/totp/begin", json=login)

    assert (other.status_code, nothing.status_code) == (200, 401)
    assert answer(client, begun, device.get(options_of(begun))).status_code == 200


def test_a_challenge_dies_after_five_minutes_even_where_logins_wait_longer(
    sqlite_house: House, device: FakeAuthenticator
) -> None:
    house = sqlite_house.again(pending_login_lifetime=3600)
    with house.open() as client:
        house.create()
        house.enroll_passkey(client, device, sign_in(client))
        early, late = begin_login(client), begin_login(client)
        house.clock.advance(seconds=299)
        in_time = answer(client, early, device.get(options_of(early)))
        house.clock.advance(seconds=1)

        too_late = answer(client, late, device.get(options_of(late)))

    assert (in_time.status_code, too_late.status_code) == (200, 401)


CLIENT_DATA: list[dict[str, Any]] = [
    {"type": "webauthn.create"},
    {"challenge": "AAAA"},
    {"origin": "https://evil.example"},
    {"origin": "http://localhost:8001"},
    {"origin": "http://localhost:8000.evil.example"},
    {"origin": None},
    {"crossOrigin": True},
    {"crossOrigin": "false"},
    {"topOrigin": "https://evil.example"},
]


@pytest.mark.parametrize("change", CLIENT_DATA, ids=str)
def test_what_the_browser_says_of_the_ceremony_is_checked(
    john: dict[str, Any], client: TestClient, device: FakeAuthenticator, change: dict[str, Any]
) -> None:
    """WebAuthn Level 3 section 7.2 steps 11 to 15; webauthn 3.0.1 lets crossOrigin pass."""
    begun = begin_login(client)
    challenge = options_of(begun)["challenge"]

    forged = device.sign(device.passkeys[0], **{"challenge": challenge, **change})
    denied = answer(client, begun, forged)

    assert denied.status_code == 401
    right = device.sign(device.passkeys[0], challenge)
    assert answer(client, begun, right).status_code == 200


def test_another_rp_id_is_refused(
    john: dict[str, Any], client: TestClient, device: FakeAuthenticator
) -> None:
    begun = begin_login(client)
    device.passkeys[0].rp_id = "evil.example"

    assert (
        answer(client, begun, device.sign(device.passkeys[0], options_of(begun)["challenge"]))
    ).status_code == 401


@pytest.mark.parametrize("handle", ["AAAA", "", 7, [], "é"])
def test_another_user_handle_is_refused(
    john: dict[str, Any], client: TestClient, device: FakeAuthenticator, handle: object
) -> None:
    """WebAuthn Level 3 section 7.2 step 6; webauthn 3.0.1 lets any pass."""
    begun = begin_login(client)
    credential = device.get(options_of(begun))

    credential["response"]["userHandle"] = handle

    assert answer(client, begun, credential).status_code == 401


def test_a_security_key_need_not_tell_the_user_handle_after_a_password(
    john: dict[str, Any], client: TestClient, device: FakeAuthenticator
) -> None:
    begun = begin_login(client)
    credential = device.get(options_of(begun))

    del credential["response"]["userHandle"]

    assert answer(client, begun, credential).status_code == 200


def test_a_changed_backup_eligibility_is_refused(
    john: dict[str, Any], client: TestClient, device: FakeAuthenticator
) -> None:
    """WebAuthn Level 3 section 6.1.3: it never changes."""
    begun = begin_login(client)
    device.is_synced = False

    assert answer(client, begun, device.get(options_of(begun))).status_code == 401


def test_a_copied_key_is_denied_with_an_alarm(
    house: House, client: TestClient, caplog: pytest.LogCaptureFixture
) -> None:
    """WebAuthn Level 3 section 7.2 step 22."""
    device = FakeAuthenticator(is_synced=False)
    house.create()
    house.enroll_passkey(client, device, sign_in(client))
    for _ in range(2):
        begun = begin_login(client)
        assert answer(client, begun, device.get(options_of(begun))).status_code == 200
    device.passkeys[0].sign_count -= 1  # as the copy has it, which was not there the last time

    begun = begin_login(client)
    denied = answer(client, begun, device.get(options_of(begun)))

    assert denied.status_code == 401
    alarms = house.database.reading(audit.list_events, limit=9, type_=EventType.PASSKEY_COPIED)
    assert [one.reason for one in alarms] == [Reason.SIGN_COUNT_FELL]
    assert "passkey_copy_suspected" in caplog.messages


def test_a_forged_low_counter_raises_no_alarm(house: House, client: TestClient) -> None:
    """Only what was signed counts: nobody else can make a key look copied."""
    device, thief = FakeAuthenticator(is_synced=False), FakeAuthenticator(is_synced=False)
    house.create()
    house.enroll_passkey(client, device, sign_in(client))
    begun = begin_login(client)
    answer(client, begun, device.get(options_of(begun)))
    options = options_of(begin := begin_login(client))
    thief.create(
        {
            "rp": {"id": "localhost"},
            "user": {"id": "AAAA"},
            "pubKeyCredParams": [{"alg": -7}],
            "challenge": "AAAA",
        }
    )
    thief.passkeys[0].credential_id = device.passkeys[0].credential_id
    thief.passkeys[0].user_handle = device.passkeys[0].user_handle
    thief.passkeys[0].sign_count = -1

    denied = answer(client, begin, thief.sign(thief.passkeys[0], options["challenge"]))

    assert denied.status_code == 401
    assert not house.database.reading(audit.list_events, limit=9, type_=EventType.PASSKEY_COPIED)


def test_a_device_holds_one_passkey_of_an_account(
    john: dict[str, Any], client: TestClient, device: FakeAuthenticator
) -> None:
    begun = client.post("/api/factors/passkey", json={}, headers=bearer(john)).json()

    with pytest.raises(LookupError):
        device.create(begun["options"])


def test_a_credential_belongs_to_one_account(
    house: House,
    john: dict[str, Any],
    client: TestClient,
    device: FakeAuthenticator,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """WebAuthn Level 3 section 7.1 step 26."""
    house.create("alice")
    headers = bearer(sign_in(client, "alice"))
    begun = client.post("/api/factors/passkey", json={}, headers=headers).json()
    credential_id = device.passkeys[0].credential_id
    body = {"enrollment": begun["enrollment"], "label": "Mine now"}

    monkeypatch.setattr("twinlock.testing.authenticator.random_bytes", lambda _: credential_id)
    body["answer"] = FakeAuthenticator().create(begun["options"])
    refused = client.post("/api/factors/passkey/confirm", json=body, headers=headers)

    assert (refused.status_code, refused.json()["type"]) == (400, "wrong_answer")
    assert client.get("/api/factors", headers=headers).json()["factors"] == []


def test_what_a_passkey_told_of_itself_is_shown(house: House, client: TestClient) -> None:
    maker = bytes.fromhex("ea9b8d664d011d213ce4b6b48cb575d4")
    house.create()
    tokens = house.enroll_passkey(client, FakeAuthenticator(aaguid=maker), sign_in(client))
    plain = FakeAuthenticator(is_synced=False)
    house.clock.advance(seconds=1)
    tokens = house.enroll_passkey(client, plain, tokens, label="YubiKey")

    factors = client.get("/api/factors", headers=bearer(tokens)).json()["factors"]

    assert [one["label"] for one in factors] == ["Key", "YubiKey"]
    assert factors[0]["details"] == {
        "aaguid": "ea9b8d66-4d01-1d21-3ce4-b6b48cb575d4",
        "provider": "Google Password Manager",
        "backup_eligible": True,
        "backed_up": True,
    }
    assert (factors[1]["details"]["provider"], factors[1]["details"]["backed_up"]) == (None, False)


def test_twenty_passkeys_are_the_most(sqlite_house: House) -> None:
    with sqlite_house.open() as client:
        sqlite_house.create()
        tokens = sign_in(client)
        for _ in range(20):
            tokens = sqlite_house.enroll_passkey(client, FakeAuthenticator(), tokens)

        refused = client.post("/api/factors/passkey", json={}, headers=bearer(tokens))

    assert (refused.status_code, refused.json()["type"]) == (400, "too_many_authenticators")


def test_a_wrong_confirmation_counts_for_the_enrollment_alone(
    house: House, client: TestClient, device: FakeAuthenticator
) -> None:
    house.create()
    headers = bearer(sign_in(client))
    begun = client.post("/api/factors/passkey", json={}, headers=headers).json()
    right = device.create(begun["options"])
    body: dict[str, Any] = {"enrollment": begun["enrollment"], "answer": {"id": "x"}}
    kinds = [
        client.post("/api/factors/passkey/confirm", json=body, headers=headers).json()["type"]
        for _ in range(6)
    ]

    late = client.post(
        "/api/factors/passkey/confirm", json={**body, "answer": right}, headers=headers
    )

    assert kinds == ["wrong_answer"] * 5 + ["enrollment_expired"]
    assert late.json()["type"] == "enrollment_expired"


def test_step_up_with_a_passkey(
    john: dict[str, Any], house: House, client: TestClient, device: FakeAuthenticator
) -> None:
    house.clock.advance(seconds=3600)
    tokens = client.post(
        "/token", data={"grant_type": "refresh_token", "refresh_token": john["refresh_token"]}
    ).json()
    begun = client.post("/api/reauthenticate", json={"acr": "phr"}, headers=bearer(tokens)).json()
    handle = begun["reauthentication"]
    renewed = client.post(
        "/api/reauthenticate/passkey/begin",
        json={"reauthentication": handle},
        headers=bearer(tokens),
    ).json()

    old, new = (
        client.post(
            "/api/reauthenticate/passkey",
            json={"reauthentication": handle, "answer": device.get(options)},
            headers=bearer(tokens),
        )
        for options in (options_of(begun), renewed["options"])
    )

    assert (old.status_code, new.status_code) == (401, 200)
    assert new.json()["acr"] == "phr"
    changed = client.post("/api/factors/recovery_codes", json={}, headers=bearer(new.json()))
    assert changed.status_code == 201


def test_passkeys_work_where_short_codes_are_stopped_and_lift_the_stop(
    house: House, client: TestClient, device: FakeAuthenticator
) -> None:
    house.create()
    enrolled = house.enroll(client)
    house.enroll_passkey(client, device, enrolled.tokens)
    house.database.transaction(
        lambda tx: tx.execute(
            text("UPDATE throttle SET in_a_row = 100 WHERE rule = 'second_factor'")
        )
    )
    wrong = begin_login(client)
    client.post("/api/login/totp", json={"login": wrong["login"], "answer": "000000"})
    house.database.transaction(
        lambda tx: tx.execute(
            text("UPDATE throttle SET in_a_row = 100 WHERE rule = 'second_factor'")
        )
    )
    begun = begin_login(client)

    by_passkey = answer(client, begun, device.get(options_of(begun)))
    house.clock.advance(seconds=60)
    by_code = token(client, "johndoe", PASSWORD + enrolled.phone.code(house.now))

    assert (by_passkey.status_code, by_code.status_code) == (200, 200)


def test_the_last_passkey_of_an_account_without_a_password_stays(
    house: House, john: dict[str, Any], client: TestClient
) -> None:
    tokens = house.enroll_passkey(client, FakeAuthenticator(), john)
    house.database.transaction(
        lambda tx: tx.execute(text("UPDATE account SET password_hash = NULL"))
    )
    first, second = client.get("/api/factors", headers=bearer(tokens)).json()["factors"]

    removed = client.delete(f"/api/factors/{first['id']}", headers=bearer(tokens))
    kept = client.delete(f"/api/factors/{second['id']}", headers=bearer(removed.json()))

    assert removed.status_code == 200
    assert (kept.status_code, kept.json()["type"]) == (400, "last_passkey")


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE passkey SET public_key = X'00'",
        "UPDATE passkey SET algorithm = -8",
        "UPDATE passkey SET is_backup_eligible = NOT is_backup_eligible",
        "UPDATE passkey SET subject_id = 'ffffffffffffffffffffffffffffffff'",
        "UPDATE passkey SET authenticator_id = 'ffffffffffffffffffffffffffffffff'",
        "DELETE FROM passkey",
        "DELETE FROM authenticator",
    ],
)
def test_a_changed_database_opens_nothing(sqlite_house: House, change: str) -> None:
    device = FakeAuthenticator()
    with sqlite_house.open() as client:
        sqlite_house.create()
        sqlite_house.enroll_passkey(client, device, sign_in(client))
        begun = begin_login(client)
        alone = client.post("/api/passkey/begin", json={}).json()
        sqlite_house.database.transaction(lambda tx: tx.execute(text(change)))

        second = answer(client, begun, device.get(options_of(begun)))
        only = client.post(
            "/api/passkey/finish",
            json={"login": alone["login"], "answer": device.get(alone["options"])},
        )

    assert (second.status_code, only.status_code) == (401, 401)
    assert second.content == only.content


def test_a_key_moved_from_another_account_opens_nothing(sqlite_house: House) -> None:
    """Who can write to the database puts an own public key into the victim's row."""
    thief, device = FakeAuthenticator(), FakeAuthenticator()
    with sqlite_house.open() as client:
        for name, own in (("johndoe", device), ("mallory", thief)):
            sqlite_house.create(name)
            sqlite_house.enroll_passkey(client, own, sign_in(client, name))
        subjects = {name: sqlite_house.account(name).subject for name in ("johndoe", "mallory")}
        rows = sqlite_house.database.reading(
            lambda db: db.execute(text("SELECT subject_id, public_key FROM passkey")).all()
        )
        keys = {row.subject_id: row.public_key for row in rows}
        sqlite_house.database.transaction(
            lambda tx: tx.execute(
                text("DELETE FROM passkey WHERE subject_id = :own"), {"own": subjects["mallory"]}
            )
        )
        sqlite_house.database.transaction(
            lambda tx: tx.execute(
                text("UPDATE passkey SET public_key = :key, credential_id = :id"),
                {"key": keys[subjects["mallory"]], "id": thief.passkeys[0].credential_id},
            )
        )
        begun = begin_login(client)
        thief.passkeys[0].user_handle = device.passkeys[0].user_handle

        denied = answer(
            client, begun, thief.sign(thief.passkeys[0], options_of(begun)["challenge"])
        )

    assert denied.status_code == 401
