"""What a host says of its accounts, and its own login route."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI, Request, Response
from fastapi.testclient import TestClient
from sqlalchemy import create_engine, text
from sqlalchemy.ext.asyncio import AsyncSession, create_async_engine
from sqlalchemy.orm import Session
from sqlalchemy.pool import NullPool

from tests.directory.host import Host, Plain, make_host, users
from tests.support.house import BASE_URL, PASSWORD, House, bearer, begin_login, sign_in, token
from twinlock import Twinlock
from twinlock.core.errors import UncommittedWritesError
from twinlock.core.proof import AuthenticationContext


@pytest.fixture
def host(sqlite_house: House, tmp_path: Path) -> Iterator[Host]:
    made = make_host(sqlite_house, tmp_path, Plain)
    add_login_routes(made.app, made.auth, made)
    with made.open() as opened:
        yield opened


def add_login_routes(app: FastAPI, auth: Twinlock, host: Host) -> None:
    @app.post("/own-login")
    async def own_login(request: Request, name: str, password: str) -> Response:
        with host.users.engine.connect() as db:
            row = db.execute(users.select().where(users.c.name == name)).one()
        if password != PASSWORD:
            return Response(status_code=401)
        return auth.second_factor.response(await auth.second_factor.begin(request, row.id))

    @app.post("/own-again")
    async def own_again(request: Request, login: str, method: str) -> str:
        again = await auth.second_factor.begin_again(request, login, method)
        return type(again).__name__

    @app.post("/own-answer")
    async def own_answer(request: Request, login: str, answer: str) -> Response:
        done = await auth.second_factor.finish(request, login, "totp", answer)
        return auth.second_factor.response(done)

    @app.post("/own-check")
    async def own_check(
        request: Request, login: str, answer: str, user_id: int = 1
    ) -> dict[str, Any]:
        done = await auth.second_factor.verify(request, login, "totp", answer, account_id=user_id)
        if isinstance(done, AuthenticationContext):
            return {"acr": done.acr, "amr": list(done.amr)}
        return {"no": type(done).__name__}

    @app.post("/own-json")
    async def own_json(request: Request) -> list[str]:
        given = await request.json()
        login, method, answer = given.get("login"), given.get("method"), given.get("answer")
        again = await auth.second_factor.begin_again(request, login, method)
        done = await auth.second_factor.finish(
            request, login, method, answer, account_id=given.get("account_id")
        )
        return [type(again).__name__, type(done).__name__]

    @app.post("/change/{user_id}")
    async def change(user_id: int, password: bool = False) -> None:
        await auth.changed(user_id, password=password)

    @app.post("/change-in-thread/{user_id}")
    def change_in_thread(user_id: int) -> None:
        _ = auth.changed(user_id)

    @app.delete("/users/{user_id}")
    async def delete(user_id: int, rolls_back: bool = False) -> None:
        engine = create_async_engine(
            host.users.url.replace("sqlite:", "sqlite+aiosqlite:"), poolclass=NullPool
        )
        async with AsyncSession(engine) as session:
            await session.execute(users.delete().where(users.c.id == user_id))
            await auth.forget(user_id, db=session)
            await (session.rollback() if rolls_back else session.commit())


def own_login(host: Host) -> Any:
    params = {"name": "johndoe", "password": PASSWORD}
    return host.client.post("/own-login", params=params)


@pytest.mark.parametrize("door", ["change", "change-in-thread"])
def test_a_demotion_that_is_told_is_seen_at_the_next_request(host: Host, door: str) -> None:
    user_id = host.users.add(roles="editor")
    tokens = sign_in(host.client)
    assert host.client.get("/whoami", headers=bearer(tokens)).json()["roles"] == ["editor"]
    host.users.change(user_id, roles="")

    host.client.post(f"/{door}/{user_id}")

    assert host.client.get("/whoami", headers=bearer(tokens)).json()["roles"] == []


def test_a_disabled_account_that_is_told_is_out_at_the_next_request(host: Host) -> None:
    user_id = host.users.add()
    tokens = sign_in(host.client)
    assert host.me(tokens).status_code == 200
    host.users.change(user_id, is_active=False)

    host.client.post(f"/change/{user_id}")

    assert host.me(tokens).status_code == 401


def test_enabling_again_brings_no_session_back(host: Host) -> None:
    user_id = host.users.add()
    tokens = sign_in(host.client)
    for is_active in (False, True):
        host.users.change(user_id, is_active=is_active)
        host.client.post(f"/change/{user_id}")
        host.me(tokens)

    assert host.me(tokens).status_code == 401
    assert host.refresh(tokens).status_code == 400
    sign_in(host.client)


def test_a_new_password_ends_sessions_and_pending_logins_and_keeps_factors(host: Host) -> None:
    user_id = host.users.add()
    phone, tokens = host.enroll()
    begun = begin_login(host.client)

    host.client.post(f"/change/{user_id}", params={"password": True})

    answer = {"login": begun["login"], "answer": phone.code(host.house.now)}
    assert host.client.post("/api/login/totp", json=answer).status_code == 401
    assert host.me(tokens).status_code == 401
    assert host.refresh(tokens).status_code == 400
    assert token(host.client, "johndoe", PASSWORD).json()["error"] == "mfa_required"


def test_another_address_ends_sessions(host: Host) -> None:
    user_id = host.users.add()
    tokens = sign_in(host.client)
    host.users.change(user_id, mail="other@example.com")

    host.client.post(f"/change/{user_id}")

    assert host.me(tokens).status_code == 401


def test_a_forgotten_account_takes_its_factors_along(host: Host) -> None:
    user_id = host.users.add(created=None)
    _, tokens = host.enroll()

    host.client.delete(f"/users/{user_id}")
    again = host.users.add("mallory", id=user_id, created=None)

    assert host.me(tokens).status_code == 401
    assert again == user_id
    fresh = sign_in(host.client, "mallory")
    assert host.client.get("/api/factors", headers=bearer(fresh)).json()["factors"] == []


def test_a_deletion_that_is_rolled_back_loses_no_factor(host: Host) -> None:
    user_id = host.users.add()
    _, tokens = host.enroll()

    host.client.delete(f"/users/{user_id}", params={"rolls_back": True})

    assert host.me(tokens).status_code == 200
    assert token(host.client, "johndoe", PASSWORD).json()["error"] == "mfa_required"


@pytest.mark.parametrize("ending", ["commit", "rollback", "savepoint", "close"])
def test_in_a_plain_session_only_a_commit_forgets(host: Host, ending: str) -> None:
    user_id = host.users.add()
    host.enroll()
    with Session(host.users.engine) as session:
        savepoint = session.begin_nested() if ending == "savepoint" else None
        session.execute(users.delete().where(users.c.id == user_id))

        _ = host.auth.forget(user_id, db=session)

        if savepoint is not None:
            savepoint.rollback()
        if ending in {"commit", "savepoint"}:
            session.commit()
        elif ending == "rollback":
            session.rollback()
    if ending == "commit":
        host.users.add(id=user_id)
        assert token(host.client, "johndoe", PASSWORD).status_code == 200
    else:
        assert token(host.client, "johndoe", PASSWORD).json()["error"] == "mfa_required"


def test_a_session_without_a_transaction_makes_nobody_wait(host: Host) -> None:
    user_id = host.users.add()
    tokens = sign_in(host.client)
    host.users.delete(user_id)
    with Session(host.users.engine) as session:
        _ = host.auth.forget(user_id, db=session)

        assert host.me(tokens).status_code == 401


def test_an_own_login_route_asks_for_the_second_factor(host: Host) -> None:
    host.users.add()
    phone, _ = host.enroll()
    begun = own_login(host).json()
    assert begun["status"] == "second_factor_required"
    params = {"login": begun["login"], "answer": phone.code(host.house.now)}

    done = host.client.post("/own-answer", params=params)
    again = host.client.post("/own-answer", params=params)

    assert done.status_code == 200
    assert host.me(done.json()).status_code == 200
    assert again.status_code == 401


def test_an_own_login_route_begins_a_method_again(host: Host) -> None:
    host.users.add()
    host.enroll()
    login = own_login(host).json()["login"]

    answers = [
        host.client.post("/own-again", params={"login": one, "method": method}).json()
        for one, method in [(login, "totp"), (login, "passkey"), ("none", "totp")]
    ]

    assert answers == ["Offered", "Denied", "Denied"]


def test_an_own_login_route_signs_in_who_has_no_second_factor(host: Host) -> None:
    host.users.add()

    done = own_login(host)

    assert done.json()["status"] == "signed_in"
    assert host.me(done.json()).status_code == 200


def test_an_own_login_route_opens_nothing_for_a_disabled_account(host: Host) -> None:
    host.users.add(is_active=False)

    assert own_login(host).status_code == 401


def test_answers_at_an_own_route_are_counted_with_all_others(host: Host) -> None:
    host.users.add()
    host.enroll()
    begun = own_login(host).json()
    for _ in range(5):
        params = {"login": begun["login"], "answer": "000000"}
        host.client.post("/own-answer", params=params)

    other = begin_login(host.client)
    answer = {"login": other["login"], "answer": "000000"}
    assert host.client.post("/api/login/totp", json=answer).status_code == 429


def test_a_login_begun_for_one_is_not_finished_for_another(host: Host) -> None:
    """Whoever knows another's password begins twice, and sends the own handle and the own code."""
    host.users.add()
    phone, _ = host.enroll()
    victim = host.users.add("victim")
    host.enroll("victim")
    own = own_login(host).json()["login"]
    code = phone.code(host.house.now)

    stolen = {"login": own, "answer": code, "user_id": victim}
    told = host.client.post("/own-check", params=stolen).json()
    body = {"login": own, "method": "totp", "answer": code, "account_id": victim}
    finished = host.client.post("/own-json", json=body).json()
    honest = host.client.post("/own-check", params={"login": own, "answer": code}).json()

    assert told == {"no": "Denied"}
    assert finished == ["Offered", "Denied"]
    assert honest["acr"] == "aal2"


@pytest.mark.parametrize("odd", [None, 7, 1.5, True, [], {}, ["totp"], {"a": "b"}])
@pytest.mark.parametrize("field", ["login", "method", "answer"])
def test_what_is_no_text_is_denied_at_an_own_route(host: Host, field: str, odd: Any) -> None:
    host.users.add()
    host.enroll()
    body = {"login": own_login(host).json()["login"], "method": "totp", "answer": "000000"}

    told = host.client.post("/own-json", json={**body, field: odd}).json()

    assert told == ["Offered" if field == "answer" else "Denied", "Denied"]


def test_a_host_with_sessions_of_its_own_gets_a_result_and_no_session(host: Host) -> None:
    host.users.add()
    phone, tokens = host.enroll()
    begun = own_login(host).json()
    params = {"login": begun["login"], "answer": phone.code(host.house.now)}

    done = host.client.post("/own-check", params=params).json()

    assert done == {"acr": "aal2", "amr": ["pwd", "otp", "mfa"]}
    listed = host.client.get("/api/sessions", headers=bearer(tokens)).json()["sessions"]
    assert len(listed) == 1


@pytest.mark.parametrize("kind", ["sync", "async"])
def test_uncommitted_writes_in_our_own_file_raise_at_once(
    sqlite_house: House, tmp_path: Path, kind: str
) -> None:
    """Waiting for the lock would be waiting for oneself."""
    made = make_host(sqlite_house, tmp_path, Plain)
    url = sqlite_house.settings.database_url
    engine = create_engine(url, poolclass=NullPool)
    with engine.begin() as tx:
        tx.execute(text("CREATE TABLE host_note (id INTEGER)"))
    caught: list[type[BaseException]] = []

    @made.app.post("/sync")
    def sync_route(commits: bool) -> None:
        with Session(engine) as session:
            session.execute(text("INSERT INTO host_note VALUES (1)"))
            if commits:
                session.commit()
            try:
                _ = made.auth.forget(1)
            except UncommittedWritesError as error:
                caught.append(type(error))

    @made.app.post("/async")
    async def async_route(request: Request, commits: bool) -> None:
        async_engine = create_async_engine(
            url.replace("sqlite:", "sqlite+aiosqlite:"), poolclass=NullPool
        )
        async with AsyncSession(async_engine) as session:
            await session.execute(text("INSERT INTO host_note VALUES (1)"))
            if commits:
                await session.commit()
            try:
                await made.auth.second_factor.begin(request, 1)
            except UncommittedWritesError as error:
                caught.append(type(error))

    with TestClient(made.app, base_url=BASE_URL) as client:
        made.users.add()
        client.post(f"/{kind}", params={"commits": True})
        before = list(caught)
        client.post(f"/{kind}", params={"commits": False})

    assert (before, caught) == ([], [UncommittedWritesError])


def test_a_plain_session_in_the_event_loop_forgets_at_its_commit(host: Host) -> None:
    user_id = host.users.add()

    @host.app.delete("/plain/{user_id}")
    async def delete(user_id: int) -> None:
        with Session(host.users.engine) as session:
            session.execute(users.delete().where(users.c.id == user_id))
            await host.auth.forget(user_id, db=session)
            session.commit()

    tokens = sign_in(host.client)

    assert host.client.delete(f"/plain/{user_id}").status_code == 200
    assert host.me(tokens).status_code == 401
