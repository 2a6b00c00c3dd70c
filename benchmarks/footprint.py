"""P8: what importing and running costs before anybody comes."""

import asyncio
import os
import subprocess
import sys
from contextlib import ExitStack

from benchmarks import installation
from benchmarks.processes import ROOT, SCRATCH, serve
from benchmarks.results import Result, compared

_BARE = "from fastapi import FastAPI\napp = FastAPI()"
_OURS = (
    "from fastapi import FastAPI\nfrom twinlock import CurrentUser, Twinlock\n"
    "app = FastAPI()\nTwinlock().install(app)"
)
_SERVICE = (
    "from fastapi import FastAPI\nfrom twinlock import CurrentUser\n"
    "from twinlock.tokens import Verifier\napp = FastAPI()\n"
    "Verifier(issuer='https://login.example.com').install(app)"
)


async def measure(*, rounds: int) -> list[Result]:
    """Compare a four-line application, and a service, with bare FastAPI: import and memory."""
    where = installation.create(SCRATCH / "p8", accounts=4)
    bare: list[float] = []
    ours: list[float] = []
    service: list[float] = []
    for _ in range(rounds + 1):
        bare.append(_import_seconds(_BARE, {}))
        ours.append(_import_seconds(_OURS, where.environment))
        service.append(_import_seconds(_SERVICE, {}))
    with ExitStack() as stack:
        plain = stack.enter_context(serve("benchmarks.apps.bare:app", name="p8-bare"))
        guarded = stack.enter_context(
            serve("benchmarks.apps.guarded:app", name="p8", environment=where.environment)
        )
        verifying = stack.enter_context(serve("benchmarks.apps.service:app", name="p8-service"))
        await asyncio.sleep(1.5)  # threads and polls have begun by then
        added = guarded.resident_mib() - plain.resident_mib()
        by_service = verifying.resident_mib() - plain.resident_mib()
    more = _modules(_OURS, where.environment) - _modules(_BARE, {})
    what = "CPU of importing a four-line app, of bare"
    return [
        compared("P8", what, ours[1:], bare[1:], at_most=2.2),
        Result("P8", "memory of a fresh app beyond bare", added, unit="MiB", at_most=35),
        compared("P8", "CPU of importing a service, of bare", service[1:], bare[1:], at_most=1.3),
        Result("P8", "memory of a fresh service beyond bare", by_service, unit="MiB", at_most=12),
        Result("P8", "modules of a four-line app beyond bare", more, unit="modules"),
    ]


def _import_seconds(program: str, environment: dict[str, str]) -> float:
    before = os.times()
    subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, env=os.environ | environment, check=True
    )
    after = os.times()
    return (after.children_user + after.children_system) - (
        before.children_user + before.children_system
    )


def _modules(program: str, environment: dict[str, str]) -> int:
    program += "\nimport sys; print(len(sys.modules))"
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=ROOT,
        env=os.environ | environment,
        check=True,
        capture_output=True,
    )
    return int(done.stdout)
