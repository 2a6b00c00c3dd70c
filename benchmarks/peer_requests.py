"""What others' checks cost the same request: the field that we are measured against."""

from contextlib import AsyncExitStack

from benchmarks import load, peers
from benchmarks.installation import PASSWORD
from benchmarks.peers import Peer
from benchmarks.processes import SCRATCH, Server, serve

_FORM = {"username": "person0", "password": PASSWORD}


async def readers(stack: AsyncExitStack) -> list[tuple[str, Server, bytes]]:
    """Start every peer that installs here; return its name, server and signed-in request."""
    found = []
    for peer, app, path, form in (
        (peers.TUTORIAL, "tutorial", "/token", _FORM),
        (peers.AUTHX, "authx_app", "/token", _FORM),
        (peers.CRUDAUTH, "crudauth_app", "/token", _FORM),
        (
            peers.FASTAPI_USERS,
            "fastapi_users_app",
            "/auth/jwt/login",
            {"username": "person0@example.com", "password": PASSWORD},
        ),
    ):
        server = start(stack, peer, app)
        if server is not None:
            request = load.post_form(path, form)
            token = (await _answer(server, request)).json()["access_token"]
            found.append((peer.name, server, load.get("/users/me", token=token)))
    server = start(stack, peers.ALLAUTH, "allauth_app")
    if server is not None:
        request = load.post_json("/_allauth/app/v1/auth/login", _FORM)
        session = (await _answer(server, request)).json()["meta"]["session_token"]
        cookie = load.get("/users/me", headers={"Cookie": f"sessionid={session}"})
        found.append((peers.ALLAUTH.name, server, cookie))
    return found


def start(stack: AsyncExitStack, peer: Peer, app: str, **environment: str) -> Server | None:
    """Serve a peer's application with an empty database, or say why not."""
    python = peers.install(peer)
    if python is None:
        return None
    database = SCRATCH / f"{app}{'-'.join(environment.values())}.sqlite3"
    for file in database.parent.glob(f"{database.name}*"):
        file.unlink()
    environment["BENCH_DATABASE"] = str(database)
    name = f"peer-{database.stem}"
    try:
        return stack.enter_context(
            serve(f"benchmarks.apps.{app}:app", name=name, python=python, environment=environment)
        )
    except RuntimeError as error:
        print(f"  without {peer.name}: {error}")
        return None


async def _answer(server: Server, request: bytes) -> load.Reply:
    async with load.connections(server, 1) as (connection,):
        reply = await connection.request(request)
    assert reply.status == 200, reply
    return reply
