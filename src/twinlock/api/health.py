"""``/healthz`` and ``/readyz``: for load balancers and supervisors."""

from fastapi.responses import JSONResponse

from twinlock.web.deps import Running
from twinlock.web.routes import router

api = router(tags=["health"])


@api.get("/healthz", response_model=None)
async def is_alive() -> JSONResponse:
    """Tell that the process answers."""
    return JSONResponse({"status": "ok"})


@api.get("/readyz", response_model=None)
async def is_ready(runtime: Running) -> JSONResponse:
    """Tell whether database and keys are usable; 503 when not."""
    look = await runtime.workers.run(runtime.health.look)
    body = {
        "status": "ready" if look.is_ready else "not_ready",
        "database": "ok" if look.database else "failed",
        "keys": "ok" if look.keys else "failed",
    }
    return JSONResponse(body, 200 if look.is_ready else 503)
