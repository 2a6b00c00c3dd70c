"""A new password at the edge, held against a service of breached ones where one is set.

The service is asked on a thread that does nothing else, never in the event loop, and outside of
every transaction. Where it does not answer, the list in the package has been enough.
"""

import asyncio
import logging
from typing import Final

from twinlock.accounts.breached_passwords import SECONDS, BreachService, BreachServiceError
from twinlock.accounts.password_policy import PasswordProblem
from twinlock.flows.outcomes import Refused

log = logging.getLogger("twinlock.passwords")

_PATIENCE: Final = SECONDS + 1
"""Seconds for all of it: a service that drips its answer is one that does not answer."""


async def refuse_breached(service: BreachService | None, password: str) -> Refused | None:
    """Return why a new password is refused, if it was seen in a breach."""
    if service is None:
        return None
    try:
        is_known = await asyncio.wait_for(asyncio.to_thread(service.knows, password), _PATIENCE)
    except (BreachServiceError, TimeoutError) as error:
        note_unanswered(error)
        return None
    problem = PasswordProblem.BREACHED
    return Refused(problem.value, problem.sentence) if is_known else None


def note_unanswered(error: Exception) -> None:
    """Say in the log that a password was accepted without the service's word."""
    log.warning(
        "breached_passwords_unanswered", extra={"error": str(error) or type(error).__name__}
    )
