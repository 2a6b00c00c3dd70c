"""Logins as an API client makes them."""

from benchmarks import load
from benchmarks.installation import PASSWORD, People
from benchmarks.load import Connection
from benchmarks.processes import Server


async def token_of(server: Server, people: People) -> str:
    """Sign somebody in with two factors and return the access token."""
    async with load.connections(server, 1) as (connection,):
        return await at_token(connection, people)


async def at_token(connection: Connection, people: People) -> str:
    """Sign somebody in at ``/token``, the code appended to the password."""
    person, code = people.next_code()
    form = {"grant_type": "password", "username": person.username, "password": PASSWORD + code}
    reply = await connection.request(load.post_form("/token", form))
    assert reply.status == 200, reply
    token: str = reply.json()["access_token"]
    return token


async def in_two_steps(connection: Connection, people: People) -> str:
    """Sign somebody in at ``/api/login``, then answer with the code."""
    person, code = people.next_code()
    reply = await connection.request(
        load.post_json("/api/login", {"username": person.username, "password": PASSWORD})
    )
    assert reply.status == 200, reply
    handle = reply.json()["login"]
    reply = await connection.request(
        load.post_json("/api/login/totp", {"login": handle, "answer": code})
    )
    assert reply.status == 200, reply
    token: str = reply.json()["access_token"]
    return token
