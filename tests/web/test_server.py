"""What the login server adds around the routes."""

from fastapi.testclient import TestClient

from tests.support.house import BASE_URL, OPERATOR, House, bearer, sign_in
from twinlock import Settings, create_app

EVERY_ANSWER = {"x-content-type-options", "x-frame-options", "content-security-policy"}


def test_every_answer_has_the_security_headers_even_a_failed_one(sqlite_house: House) -> None:
    @sqlite_house.app.get("/broken")
    async def broken() -> None:
        raise RuntimeError("a secret in a message")

    with TestClient(sqlite_house.app, BASE_URL, raise_server_exceptions=False) as client:
        for path, status in (("/healthz", 200), ("/nothing", 404), ("/broken", 500)):
            answer = client.get(path)
            assert answer.status_code == status
            assert answer.headers.keys() >= EVERY_ANSWER
            assert "secret" not in answer.text


def test_production_answers_no_host_but_its_own(sqlite_house: House) -> None:
    settings = Settings(
        data_dir=sqlite_house.settings.data_dir,
        database_url=sqlite_house.settings.database_url,
        base_url="https://login.example.com",
    )
    with TestClient(create_app(settings), "https://login.example.com") as client:
        for path in ("/healthz", "/.well-known/jwks.json", "/nothing"):
            for host in ("evil.example", "login.example.com.evil.example", "localhost:8000", ""):
                assert client.get(path, headers={"Host": host}).status_code == 400
        for second in ("evil.example", "login.example.com"):
            both = [("Host", "login.example.com"), ("Host", second)]
            assert client.get("/healthz", headers=both).status_code == 400
        assert client.get("/healthz").status_code == 200
        assert client.get("/healthz", headers={"Host": "LOGIN.example.com:443"}).status_code == 200
        assert client.get("/docs").status_code == 404
        assert client.get("/openapi.json").status_code == 404


def test_a_retired_key_is_refused_by_other_workers_at_once(sqlite_house: House) -> None:
    """They share the marks of this machine, not this process's memory."""
    other = sqlite_house.again()
    with sqlite_house.open() as here, other.open() as there:
        sqlite_house.create()
        headers = bearer(sign_in(here))
        assert there.get("/users/me", headers=headers).status_code == 200
        old = sqlite_house.runtime.keys.current().active.kid

        sqlite_house.runtime.keys.rotate(OPERATOR, now=sqlite_house.now)
        assert there.get("/users/me", headers=headers).status_code == 200
        assert (
            sign_in(there)["access_token"].split(".")[0]
            != headers["Authorization"][7:].split(".")[0]
        )
        sqlite_house.runtime.keys.retire(old, OPERATOR, now=sqlite_house.now)

        assert there.get("/users/me", headers=headers).status_code == 401


def test_a_revocation_is_seen_by_other_workers_on_the_next_request(sqlite_house: House) -> None:
    other = sqlite_house.again()
    with sqlite_house.open() as here, other.open() as there:
        sqlite_house.create()
        headers = bearer(sign_in(here))
        assert there.get("/users/me", headers=headers).status_code == 200

        here.post("/api/logout", headers=headers)

        assert there.get("/users/me", headers=headers).status_code == 401


def test_a_revocation_whose_mark_was_lost_is_seen_by_the_poll(house: House) -> None:
    """As on another machine, or after a crash between the commit and the mark."""
    other = house.again(
        data_dir=house.settings.data_dir / "elsewhere",
        secret_keys_file=house.settings.secret_keys_file,
    )
    other.settings.data_dir.mkdir()
    with house.open() as here, other.open() as there:
        house.create()
        headers = bearer(sign_in(here))
        assert there.get("/users/me", headers=headers).status_code == 200

        here.post("/api/logout", headers=headers)
        other.runtime.sight.look_around()

        assert there.get("/users/me", headers=headers).status_code == 401
