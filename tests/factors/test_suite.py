"""The suite that every factor passes, on both databases."""

from typing import Any

import pytest
from fastapi.testclient import TestClient
from httpx2 import Response

from tests.factors.suite import GARBAGE, KITS, Kit
from tests.support.house import House, begin_login


@pytest.fixture(params=KITS, ids=lambda kit: kit.__name__)
def kit(request: pytest.FixtureRequest, house: House, client: TestClient) -> Kit:
    """A factor that johndoe has enrolled."""
    made: Kit = request.param()
    made.set_up(house, client, "johndoe")
    return made


def submit(client: TestClient, kit: Kit, answer: Any, username: str = "johndoe") -> Response:
    """Answer a fresh pending login of an account."""
    login = begin_login(client, username)["login"]
    return client.post(f"/api/login/{kit.method}", json={"login": login, "answer": answer})


def test_it_is_offered(kit: Kit, client: TestClient) -> None:
    offered = [one["method"] for one in begin_login(client)["methods"]]

    assert kit.method in offered


def test_a_right_answer_signs_in(kit: Kit, house: House, client: TestClient) -> None:
    answer = kit.answer(house, "johndoe")

    assert submit(client, kit, answer).status_code == 200


def test_an_answer_works_only_once(kit: Kit, house: House, client: TestClient) -> None:
    answer = kit.answer(house, "johndoe")

    codes = [submit(client, kit, answer).status_code for _ in range(2)]

    assert codes == [200, 401]


def test_an_answer_is_worth_nothing_for_another_account(
    kit: Kit, house: House, client: TestClient
) -> None:
    kit.set_up(house, client, "alice")
    answer = kit.answer(house, "johndoe")

    assert submit(client, kit, answer, "alice").status_code == 401
    assert submit(client, kit, answer, "johndoe").status_code == 200


def test_an_answer_is_worth_nothing_after_removal(
    kit: Kit, house: House, client: TestClient
) -> None:
    kept = kit.answer(house, "johndoe")

    kit.remove(house, client, "johndoe")

    assert submit(client, kit, kept).status_code == 401


def test_wrong_answers_are_denied(kit: Kit, client: TestClient) -> None:
    for wrong in kit.wrong_answers():
        assert submit(client, kit, wrong).status_code == 401


@pytest.mark.parametrize("garbage", GARBAGE, ids=lambda garbage: repr(garbage)[:20])
def test_garbage_is_denied(kit: Kit, client: TestClient, garbage: Any) -> None:
    assert submit(client, kit, garbage).status_code in {401, 422}


def test_five_wrong_answers_void_the_pending_login(
    kit: Kit, house: House, client: TestClient
) -> None:
    login = begin_login(client)["login"]
    path = f"/api/login/{kit.method}"
    for _ in range(5):
        client.post(path, json={"login": login, "answer": kit.wrong_answers()[0]})

    late = client.post(path, json={"login": login, "answer": kit.answer(house, "johndoe")})

    assert late.status_code == 401


def test_a_right_answer_to_another_pending_login_is_unaffected_by_a_dead_one(
    kit: Kit, house: House, client: TestClient
) -> None:
    dead = client.post(
        f"/api/login/{kit.method}", json={"login": "nobody's", "answer": kit.wrong_answers()[0]}
    )

    assert dead.status_code == 401
    assert submit(client, kit, kit.answer(house, "johndoe")).status_code == 200
