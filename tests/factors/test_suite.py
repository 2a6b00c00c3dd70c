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


def submit(client: TestClient, kit: Kit, login: dict[str, Any], answer: Any) -> Response:
    """Answer a pending login."""
    body = {"login": login["login"], "answer": answer}
    return client.post(f"/api/login/{kit.method}", json=body)


def test_it_is_offered(kit: Kit, client: TestClient) -> None:
    offered = [one["method"] for one in begin_login(client)["methods"]]

    assert kit.method in offered


def test_a_right_answer_signs_in(kit: Kit, house: House, client: TestClient) -> None:
    login = begin_login(client)

    assert submit(client, kit, login, kit.answer(house, "johndoe", login)).status_code == 200


def test_an_answer_works_only_once(kit: Kit, house: House, client: TestClient) -> None:
    first = begin_login(client)
    answer = kit.answer(house, "johndoe", first)

    codes = [submit(client, kit, login, answer).status_code for login in (first, first)]
    codes.append(submit(client, kit, begin_login(client), answer).status_code)

    assert codes == [200, 401, 401]


def test_an_answer_is_worth_nothing_for_another_account(
    kit: Kit, house: House, client: TestClient
) -> None:
    kit.set_up(house, client, "alice")
    hers, his = begin_login(client, "alice"), begin_login(client)

    assert submit(client, kit, hers, kit.answer(house, "johndoe", hers)).status_code == 401
    assert submit(client, kit, his, kit.answer(house, "johndoe", his)).status_code == 200


def test_an_answer_is_worth_nothing_after_removal(
    kit: Kit, house: House, client: TestClient
) -> None:
    kit.remove(house, client, "johndoe")
    login = begin_login(client)

    assert submit(client, kit, login, kit.answer(house, "johndoe", login)).status_code == 401


def test_wrong_answers_are_denied(kit: Kit, client: TestClient) -> None:
    for wrong in kit.wrong_answers():
        assert submit(client, kit, begin_login(client), wrong).status_code == 401


@pytest.mark.parametrize("garbage", GARBAGE, ids=lambda garbage: repr(garbage)[:20])
def test_garbage_is_denied(kit: Kit, client: TestClient, garbage: Any) -> None:
    assert submit(client, kit, begin_login(client), garbage).status_code in {401, 422}


def test_five_wrong_answers_void_the_pending_login(
    kit: Kit, house: House, client: TestClient
) -> None:
    login = begin_login(client)
    for _ in range(5):
        submit(client, kit, login, kit.wrong_answers()[0])

    late = submit(client, kit, login, kit.answer(house, "johndoe", login))

    assert late.status_code == 401


def test_a_right_answer_to_another_pending_login_is_unaffected_by_a_dead_one(
    kit: Kit, house: House, client: TestClient
) -> None:
    dead = submit(client, kit, {"login": "nobody's"}, kit.wrong_answers()[0])
    login = begin_login(client)

    assert dead.status_code == 401
    assert submit(client, kit, login, kit.answer(house, "johndoe", login)).status_code == 200
