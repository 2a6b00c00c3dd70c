"""A flood of tokens that open nothing costs its sender, and nobody's place in memory."""

import base64
import gc
import random
import tracemalloc
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta

import pytest
from fastapi.testclient import TestClient

from tests.support.house import House, bearer, sign_in
from twinlock.core.secrets import new_id
from twinlock.tokens.access_token import sign
from twinlock.web.sight import Sight

HONEST = 12
FLOOD = 400
REFUSALS = 1_024
"""As many as are remembered."""
GROWTH_BYTES = 120_000
"""Half of what the texts of its tokens would take."""


def random_text(chance: random.Random) -> str:
    return base64.urlsafe_b64encode(chance.randbytes(300)).decode()


def floods(house: House, token: str, chance: random.Random) -> Iterator[str]:
    """Yield different tokens without end: random, forged, of an unknown key, and expired."""
    sight: Sight = house.runtime.sight
    claims = sight.claims_of(token)
    assert claims is not None
    key = house.runtime.keys.current().active
    head, body, _ = token.split(".")
    while True:
        yield random_text(chance)
        yield f"{head}.{body}.{base64.urlsafe_b64encode(chance.randbytes(64)).decode().rstrip('=')}"
        yield sign(replace(claims, session_id=new_id()), replace(key, kid=new_id()))
        early = claims.issued_at - timedelta(days=1, seconds=chance.randrange(10**6))
        expired = replace(claims, issued_at=early, expires_at=early + timedelta(minutes=10))
        yield sign(expired, key)


def pour(client: TestClient, tokens: Iterator[str], count: int) -> set[int]:
    """Send *count* tokens, every tenth once more as a cookie, and return the statuses."""
    statuses = set()
    for number in range(count):
        token = next(tokens)
        headers = {"Authorization": f"Bearer {token}"}
        if number % 10 == 0:
            headers = {"Cookie": f"__Host-twinlock={token[:43]}"}
        statuses.add(client.get("/users/me", headers=headers).status_code)
    return statuses


@pytest.mark.timeout(300)
def test_a_flood_of_tokens_pushes_out_no_session_and_leaves_nothing(sqlite_house: House) -> None:
    house = sqlite_house
    with house.open() as client:
        honest = []
        for number in range(HONEST):
            house.create(f"honest{number}")
            honest.append(sign_in(client, f"honest{number}"))
        tokens = floods(house, honest[0]["access_token"], random.Random(5))
        sight = house.runtime.sight
        sight.close()  # a poll forgets a new session once, and everybody where it is late
        seen = [client.get("/users/me", headers=bearer(one)).status_code for one in honest]
        tracemalloc.start()
        for _ in range(REFUSALS):
            token = next(tokens)
            sight._refused.add(token, at=0.0)
            sight.is_refused(token)
        warmed = pour(client, tokens, FLOOD // 4)

        gc.collect()
        before, _ = tracemalloc.get_traced_memory()
        poured = pour(client, tokens, FLOOD)
        gc.collect()
        after, _ = tracemalloc.get_traced_memory()
        tracemalloc.stop()

        assert seen == [200] * HONEST
        assert warmed == poured == {401}
        kept = [sight._seen.get(one["access_token"], now=house.now) for one in honest]
        assert None not in kept
        assert len(sight._seen) == HONEST
        assert len(sight._refused) == REFUSALS
        assert after - before < GROWTH_BYTES
