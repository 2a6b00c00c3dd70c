"""What type checkers must refuse, and what they must know: read by them, never run.

Each line that has to be an error says so by ``type: ignore``; `test_typing.py` takes these away
and compares. Under mypy's strict mode an ignore that ignores nothing is an error of its own, so
that ``make check`` holds the same.
"""

from datetime import timedelta
from typing import Annotated, assert_type

from fastapi import FastAPI
from sqlalchemy import Connection

from twinlock import Acr, CurrentUser, OptionalUser, Settings, Twinlock, User, require
from twinlock.accounts.directory import Account
from twinlock.accounts.password_check import RightPassword
from twinlock.audit.events import Caller
from twinlock.core.proof import (
    AuthenticationContext,
    NoSecondFactor,
    Proof,
    Rejected,
    SubjectId,
    TwoFactors,
    Verified,
)
from twinlock.flows.looked_up import LookedUp
from twinlock.flows.opening import Opened, Opening, Transport
from twinlock.flows.outcomes import (
    Credentials,
    Denied,
    EnrollmentRequired,
    SecondFactorRequired,
    SignedIn,
)
from twinlock.pending.store import Pending
from twinlock.sessions.policy import Session
from twinlock.testing import Instances, LoginAs
from twinlock.tokens import Verifier
from twinlock.tokens.access_token import AccessClaims
from twinlock.web.layer import GuardLayer


def transfer(user: User) -> None: ...


def a_half_finished_login_is_no_user(
    pending: Pending,
    second_factor: SecondFactorRequired,
    enrollment: EnrollmentRequired,
    looked_up: LookedUp,
    password: RightPassword,
    verified: Verified,
) -> None:
    transfer(pending)  # type: ignore[arg-type]
    transfer(second_factor)  # type: ignore[arg-type]
    transfer(enrollment)  # type: ignore[arg-type]
    transfer(looked_up)  # type: ignore[arg-type]
    transfer(password)  # type: ignore[arg-type]
    transfer(verified)  # type: ignore[arg-type]


def nothing_else_of_a_sign_in_is_a_user(
    signed_in: SignedIn,
    denied: Denied,
    session: Session,
    account: Account,
    claims: AccessClaims,
    context: AuthenticationContext,
    subject: SubjectId,
) -> None:
    transfer(signed_in)  # type: ignore[arg-type]
    transfer(denied)  # type: ignore[arg-type]
    transfer(session)  # type: ignore[arg-type]
    transfer(account)  # type: ignore[arg-type]
    transfer(claims)  # type: ignore[arg-type]
    transfer(context)  # type: ignore[arg-type]
    transfer(subject)  # type: ignore[arg-type]


def a_login_holds_nothing_until_it_is_signed_in(
    outcome: SignedIn | SecondFactorRequired | EnrollmentRequired | Denied,
) -> None:
    _ = outcome.credentials  # type: ignore[union-attr]
    if isinstance(outcome, SignedIn):
        assert_type(outcome.credentials, Credentials)


def only_a_proof_opens_a_session(
    opening: Opening,
    tx: Connection,
    account: Account,
    pending: Pending,
    verified: Verified,
    rejected: Rejected,
    proof: Proof,
) -> None:
    caller = Caller()

    def open_with(proof: Proof) -> Opened:
        return opening.open_session(
            tx,
            account,
            proof,
            caller,
            generation=1,
            scope=(),
            transport=Transport.BEARER,
            now=account.created_at,
        )

    open_with(proof)
    open_with(verified)  # type: ignore[arg-type]
    open_with(rejected)  # type: ignore[arg-type]
    open_with(pending)  # type: ignore[arg-type]
    TwoFactors(verified, rejected)  # type: ignore[arg-type]
    TwoFactors(verified)  # type: ignore[call-arg]
    NoSecondFactor(verified)  # type: ignore[arg-type,call-arg]


def what_a_user_proved_is_not_to_be_written(user: User) -> None:
    assert_type(user.acr, Acr)
    assert_type(user.amr, tuple[str, ...])
    assert_type(user.roles, frozenset[str])
    user.acr = Acr.PHR  # type: ignore[misc]


def dependencies_are_users(
    user: CurrentUser,
    perhaps: OptionalUser,
    strong: Annotated[User, require(acr="aal2", max_age=timedelta(minutes=5))],
) -> None:
    assert_type(user, User)
    assert_type(perhaps, User | None)
    assert_type(strong, User)
    transfer(user)
    transfer(strong)
    transfer(perhaps)  # type: ignore[arg-type]
    _ = perhaps.username  # type: ignore[union-attr]


def requirements_have_units_and_names() -> None:
    require(acr=Acr.AAL2, amr=["otp"], role="admin", scope={"a", "b"})
    require("aal2")  # type: ignore[call-arg]
    require(acr=2)  # type: ignore[arg-type]
    require(max_age=300)  # type: ignore[arg-type]
    require(role=3)  # type: ignore[arg-type]
    require(level="aal2")  # type: ignore[call-arg]


def both_kinds_of_instance_guard_applications(auth: Twinlock, app: FastAPI) -> None:
    verifier = Verifier(issuer="https://login.example.com", audience="api")
    verifier.install(app)
    auth.install(app, prefix="/auth")
    GuardLayer(app, verifier)
    GuardLayer(app, auth)
    GuardLayer(app, app)  # type: ignore[arg-type]
    Verifier("https://login.example.com")  # type: ignore[call-arg]
    Verifier(issuer="https://login.example.com", environment="test")  # type: ignore[arg-type]
    Twinlock(verifier)  # type: ignore[arg-type]


def the_kit_is_typed(twinlock_auth: Instances, login_as: LoginAs, settings: Settings) -> None:
    assert_type(twinlock_auth(), Twinlock)
    assert_type(twinlock_auth(Twinlock(settings)), Twinlock)
    assert_type(login_as("alice"), dict[str, str])
    login_as("alice", acr=2)  # type: ignore[arg-type]
