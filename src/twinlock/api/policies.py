"""``/api/admin/policies``: who needs what by when, for admins with a fresh second factor."""

from datetime import UTC, datetime
from typing import Annotated

from fastapi import Query, Response
from pydantic import AfterValidator, AwareDatetime, BaseModel, ConfigDict, Field, StringConstraints

from twinlock.api.bodies import printable
from twinlock.api.responses import SIGNED_IN_PROBLEMS
from twinlock.core.proof import Acr
from twinlock.flows.outcomes import Refused
from twinlock.flows.policy_preview import Preview
from twinlock.policies.policy import Kind, Policy
from twinlock.web.acting import acting, run_as_admin
from twinlock.web.admin_guard import AdminUser
from twinlock.web.deps import From, Now, Running
from twinlock.web.problems import refusal
from twinlock.web.routes import router
from twinlock.web.runtime import Runtime

api = router(prefix="/admin/policies", tags=["admin"], responses=SIGNED_IN_PROBLEMS)

Target = Annotated[str, StringConstraints(min_length=1, max_length=340), AfterValidator(printable)]
Method = Annotated[str, StringConstraints(max_length=32), AfterValidator(printable)]


class PolicyIn(BaseModel):
    """A policy to be set: what its target needs, from when on."""

    model_config = ConfigDict(extra="forbid")

    target: Annotated[Target, Field(description="everyone, role:NAME or account:USER")]
    acr: Acr = Acr.AAL2
    since: Annotated[
        AwareDatetime | None, Field(alias="from", description="By default from now on.")
    ] = None
    methods: Annotated[list[Method], Field(max_length=16)] = []
    trusted_devices: bool = False
    reminds_by_mail: Annotated[
        bool, Field(description="Mail those who lack something, seven days and one day before.")
    ] = True

    def policy(self, kind: Kind, name: str, *, now: datetime) -> Policy:
        """Return it with its target's own name."""
        since = self.since.astimezone(UTC) if self.since else now
        methods = tuple(dict.fromkeys(self.methods))
        trusted, reminds = self.trusted_devices, self.reminds_by_mail
        return Policy(kind, name, self.acr, since, methods, trusted, reminds)


class PolicyOut(BaseModel):
    """A policy. An account's target is ``account:`` and its ``id``."""

    target: str
    acr: Acr
    since: Annotated[datetime, Field(serialization_alias="from")]
    methods: list[str]
    trusted_devices: bool
    reminds_by_mail: bool

    @classmethod
    def of(cls, one: Policy) -> "PolicyOut":
        """Translate."""
        return cls(
            target=one.target,
            acr=one.acr,
            since=one.since,
            methods=list(one.methods),
            trusted_devices=one.trusts_devices,
            reminds_by_mail=one.reminds,
        )


class PolicyListOut(BaseModel):
    """Every policy."""

    policies: list[PolicyOut]


class PreviewOut(BaseModel):
    """Whom a policy would hit, were it set."""

    accounts: Annotated[int, Field(description="So many accounts are under it.")]
    behind: Annotated[
        int | None, Field(description="So many of them do not meet it; null for too many to count.")
    ]
    is_floor: Annotated[bool, Field(description="There may be more of both.")]
    replaced: PolicyOut | None
    locks_out: Annotated[bool, Field(description="Your own session would be refused at once.")]

    @classmethod
    def of(cls, found: Preview) -> "PreviewOut":
        """Translate."""
        return cls(
            accounts=found.accounts,
            behind=found.behind,
            is_floor=found.is_floor,
            replaced=PolicyOut.of(found.replaced) if found.replaced else None,
            locks_out=found.locks_out,
        )


@api.get("")
async def list_policies(user: AdminUser, runtime: Running) -> PolicyListOut:
    """List every policy."""
    found = await runtime.workers.run(runtime.policy_administration.list_policies)
    return PolicyListOut(policies=[PolicyOut.of(one) for one in found])


@api.put("", response_model=PolicyOut)
async def set_policy(
    body: PolicyIn, user: AdminUser, runtime: Running, caller: From, now: Now
) -> PolicyOut | Response:
    """Set the policy of a target, in place of an older one; the strictest of all wins."""
    new = await _read(runtime, body, now=now)
    if isinstance(new, Refused):
        return refusal(new)
    done = await run_as_admin(
        runtime,
        runtime.policy_administration.set_policy,
        new,
        acting(user, caller),
        admin=user,
        now=now,
    )
    return refusal(done) if isinstance(done, Refused) else PolicyOut.of(done)


@api.post("/preview", response_model=PreviewOut)
async def preview_policy(
    body: PolicyIn, user: AdminUser, runtime: Running, now: Now
) -> PreviewOut | Response:
    """Tell whom a policy would hit. Nothing is set."""
    new = await _read(runtime, body, now=now)
    if isinstance(new, Refused):
        return refusal(new)
    since = new.since.isoformat()
    found = await runtime.workers.run(
        runtime.console.preview_policy, new, user, since=since, now=now
    )
    return PreviewOut.of(found)


@api.delete("", status_code=204, response_model=None)
async def remove_policy(
    target: Annotated[Target, Query()], user: AdminUser, runtime: Running, caller: From, now: Now
) -> Response:
    """Remove the policy of a target."""
    read = await runtime.workers.run(runtime.policy_administration.read_target, target)
    if isinstance(read, Refused):
        return refusal(read)
    done = await run_as_admin(
        runtime,
        runtime.policy_administration.remove_policy,
        *read,
        acting(user, caller),
        admin=user,
        now=now,
    )
    return refusal(done) if isinstance(done, Refused) else Response(status_code=204)


async def _read(runtime: Runtime, body: PolicyIn, *, now: datetime) -> Policy | Refused:
    unknown = runtime.policy_administration.unknown_method(body.methods)
    if unknown is not None:
        return unknown
    read = await runtime.workers.run(runtime.policy_administration.read_target, body.target)
    return read if isinstance(read, Refused) else body.policy(*read, now=now)
