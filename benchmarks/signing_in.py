"""Logins as an API client makes them."""

import asyncio
import time
from datetime import UTC, datetime

from benchmarks import load
from benchmarks.installation import PASSWORD, People, Person
from benchmarks.load import Connection
from benchmarks.processes import Server
from twinlock.factors.totp import rfc6238


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


async def code_of(person: Person) -> str:
    """Return a code of somebody's that was not used yet, as soon as there is one."""
    ahead = person.last_step * 30 - time.time()
    if ahead > 0:
        await asyncio.sleep(ahead)  # the next step is accepted from the last one's begin on
    person.last_step = max(person.last_step + 1, int(time.time()) // 30)
    return rfc6238.totp(person.key, at=datetime.fromtimestamp(person.last_step * 30, UTC))
