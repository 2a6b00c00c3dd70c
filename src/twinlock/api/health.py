"""``/healthz`` and ``/readyz``: for load balancers and supervisors."""

from fastapi import Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from twinlock.core.errors import DatabaseUnavailableError, TwinlockError
from twinlock.flows.health import Readiness
from twinlock.web.deps import Running
from twinlock.web.recognition import NotStartedError
from twinlock.web.routes import TwinlockRoute, router


class _HealthRoute(TwinlockRoute):
    """A route that tells how things are while nothing else can be answered."""

    def answer_error(
        self, error: HTTPException | RequestValidationError | TwinlockError
    ) -> Response:
        if isinstance(error, NotStartedError | DatabaseUnavailableError):
            is_about_process = self.endpoint is is_alive
            return _alive() if is_about_process else _told(Readiness(database=False, keys=False))
        return super().answer_error(error)


api = router(_HealthRoute, tags=["health"])


@api.get("/healthz", response_model=None)
async def is_alive() -> JSONResponse:
    """Tell that the process answers."""
    return _alive()


@api.get("/readyz", response_model=None)
async def is_ready(runtime: Running) -> JSONResponse:
    """Tell whether database and keys are usable; 503 when not."""
    return _told(await runtime.workers.run(runtime.health.look))


def _alive() -> JSONResponse:
    return JSONResponse({"status": "ok"})


def _told(look: Readiness) -> JSONResponse:
    body = {
        "status": "ready" if look.is_ready else "not_ready",
        "database": "ok" if look.database else "failed",
        "keys": "ok" if look.keys else "failed",
    }
    return JSONResponse(body, 200 if look.is_ready else 503)
