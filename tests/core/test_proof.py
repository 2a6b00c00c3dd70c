"""What each proof proves."""

from datetime import UTC, datetime, timedelta

import pytest

from twinlock.core.proof import (
    Acr,
    AuthenticationContext,
    Continued,
    ProofMismatchError,
    SubjectId,
    TwoFactors,
    Verified,
    VerifiedPasskey,
    context_of,
)

JOHN = SubjectId("1" * 32)
NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)
EARLIER = NOW - timedelta(hours=1)
PASSWORD = Verified(JOHN, "password", ("pwd",), EARLIER)
CODE = Verified(JOHN, "totp", ("otp",), NOW)
RECOVERY = Verified(JOHN, "recovery_codes", (), NOW)


def passkey(*, is_user_verified: bool) -> Verified:
    return Verified(
        JOHN,
        "passkey",
        ("swk", "user"),
        NOW,
        is_phishing_resistant=True,
        is_user_verified=is_user_verified,
    )


ALONE = AuthenticationContext(JOHN, Acr.PHR, ("swk", "user", "mfa"), EARLIER)
AFTER_PASSWORD = AuthenticationContext(JOHN, Acr.AAL1, ("pwd",), EARLIER)


def test_a_passkey_that_verified_nobody_proves_nothing_alone() -> None:
    with pytest.raises(ProofMismatchError):
        context_of(VerifiedPasskey(passkey(is_user_verified=False)))
    with pytest.raises(ProofMismatchError):
        context_of(VerifiedPasskey(CODE))


def test_a_verified_passkey_alone_is_phishing_resistant() -> None:
    context = context_of(VerifiedPasskey(passkey(is_user_verified=True)))

    assert context == AuthenticationContext(JOHN, Acr.PHR, ("swk", "user", "mfa"), NOW)


@pytest.mark.parametrize("is_user_verified", [True, False])
def test_a_password_and_a_passkey_are_phishing_resistant(is_user_verified: bool) -> None:
    context = context_of(TwoFactors(PASSWORD, passkey(is_user_verified=is_user_verified)))

    assert (context.acr, context.amr) == (Acr.PHR, ("pwd", "swk", "user", "mfa"))


@pytest.mark.parametrize(
    "context, added, acr, amr",
    [
        (AFTER_PASSWORD, passkey(is_user_verified=False), "phr", ("pwd", "swk", "user", "mfa")),
        (AFTER_PASSWORD, CODE, "aal2", ("pwd", "otp", "mfa")),
        (AFTER_PASSWORD, RECOVERY, "aal2", ("pwd", "mfa")),
        (ALONE, passkey(is_user_verified=True), "phr", ("swk", "user", "mfa")),
        (ALONE, passkey(is_user_verified=False), "aal2", ("swk", "user", "mfa")),
        (ALONE, CODE, "aal2", ("otp", "mfa")),
        (ALONE, RECOVERY, "aal2", ("mfa",)),
    ],
)
def test_what_a_step_up_makes_of_a_session(
    context: AuthenticationContext, added: Verified, acr: str, amr: tuple[str, ...]
) -> None:
    """What was not shown now is not told as if it had been."""
    assert context_of(Continued(context, added)) == AuthenticationContext(JOHN, Acr(acr), amr, NOW)
