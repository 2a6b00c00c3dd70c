"""The software authenticator for users' tests, judged by a server of another make (fido2)."""

from typing import Any

import pytest
from fido2.server import Fido2Server
from fido2.webauthn import (
    AttestedCredentialData,
    AuthenticationResponse,
    PublicKeyCredentialRpEntity,
    RegistrationResponse,
)

from twinlock.core.secrets import to_base64url
from twinlock.testing.authenticator import FakeAuthenticator

CHALLENGE = to_base64url(bytes(range(32)))
STATE = {"challenge": CHALLENGE, "user_verification": "required"}


def creation(**more: Any) -> dict[str, Any]:
    return {
        "rp": {"id": "localhost", "name": "Example"},
        "user": {"id": to_base64url(b"somebody"), "name": "a", "displayName": "A"},
        "challenge": CHALLENGE,
        "pubKeyCredParams": [{"type": "public-key", "alg": -7}],
        **more,
    }


def request(**more: Any) -> dict[str, Any]:
    return {"rpId": "localhost", "challenge": CHALLENGE, **more}


def judge() -> Fido2Server:
    return Fido2Server(
        PublicKeyCredentialRpEntity(id="localhost", name="Example"),
        verify_origin=lambda origin: origin == "http://localhost:8000",
    )


def register(device: FakeAuthenticator) -> AttestedCredentialData:
    answer = RegistrationResponse.from_dict(device.create(creation()))
    data = judge().register_complete(STATE, answer).credential_data
    assert data is not None
    return data


@pytest.mark.parametrize("is_synced", [True, False])
def test_another_server_accepts_what_it_makes_and_signs(is_synced: bool) -> None:
    device = FakeAuthenticator(is_synced=is_synced)
    credential = register(device)

    for count in (1, 2):
        answer = AuthenticationResponse.from_dict(device.get(request()))
        judge().authenticate_complete(STATE, [credential], answer)

        data = answer.response.authenticator_data
        assert data.is_user_verified()
        assert data.counter == (0 if is_synced else count)
        assert answer.response.user_handle == b"somebody"


@pytest.mark.parametrize(
    "device",
    [FakeAuthenticator(verifies_user=False), FakeAuthenticator(origin="http://localhost:9")],
    ids=["without user verification", "from another origin"],
)
def test_another_server_refuses_what_it_has_to(device: FakeAuthenticator) -> None:
    answer = RegistrationResponse.from_dict(device.create(creation()))

    with pytest.raises(ValueError, match=r"[Vv]erif|[Oo]rigin"):
        judge().register_complete(STATE, answer)


def test_it_answers_with_what_was_allowed_and_else_with_the_newest() -> None:
    device = FakeAuthenticator()
    first, second = (device.create(creation())["id"] for _ in range(2))

    assert device.get(request())["id"] == second
    assert device.get(request(allowCredentials=[{"id": first}]))["id"] == first
    with pytest.raises(LookupError):
        device.get(request(allowCredentials=[{"id": CHALLENGE}]))


def test_it_does_what_a_browser_would_and_no_more() -> None:
    device = FakeAuthenticator(verifies_user=False)
    held = device.create(creation())["id"]

    with pytest.raises(LookupError):
        device.create(creation(excludeCredentials=[{"id": held}]))
    with pytest.raises(LookupError):
        device.get(request(userVerification="required"))
    with pytest.raises(ValueError, match="may not ask"):
        device.get({**request(), "rpId": "example.com"})
    with pytest.raises(ValueError, match="ES256"):
        device.create(creation(pubKeyCredParams=[{"alg": -8}]))
