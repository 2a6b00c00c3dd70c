"""``/static``: style sheets, modules and pictures, which a browser may keep for ever."""

from typing import Final

from fastapi import Request, Response

from twinlock.pages.routes import page_router
from twinlock.pages.shown import pages_of
from twinlock.web.problems import ProblemError

pages = page_router(prefix="/static")

_KEPT: Final = "public, max-age=31536000, immutable"


@pages.get("/{name}")
async def send_file(name: str, request: Request) -> Response:
    """Send a file; its name holds the digest of what is in it."""
    asset = pages_of(request).assets.get(name)
    if asset is None:
        raise ProblemError(404, "not_found", "There is nothing here.")
    headers = {"Cache-Control": _KEPT, "Vary": "Accept-Encoding"}
    if asset.compressed is not None and "gzip" in request.headers.get("accept-encoding", ""):
        headers["Content-Encoding"] = "gzip"
        return Response(asset.compressed, headers=headers, media_type=asset.media_type)
    return Response(asset.content, headers=headers, media_type=asset.media_type)
