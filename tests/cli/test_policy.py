"""``twinlock policy``."""

import sqlite3
from contextlib import closing

import pytest

from tests.cli.conftest import Cli


def test_policies_are_set_listed_explained_and_removed(johndoe: Cli) -> None:
    johndoe.done("policy", "set", "everyone", "--from", "2999-01-01", "--no-remind")
    johndoe.done("policy", "set", "role:admin", "--trusted-devices")
    johndoe.json("policy", "set", "account:johndoe", "--method", "totp")

    listed = johndoe.json("policy", "list")["policies"]
    explained = johndoe.json("policy", "explain", "johndoe")
    told = johndoe.done("policy", "explain", "johndoe")
    johndoe.done("policy", "set", "account:johndoe", "--remove")

    targets = [one["target"] for one in listed]
    assert targets[:2] == ["everyone", "role:admin"]
    assert targets[2].startswith("account:")
    assert [one["reminds_by_mail"] for one in listed] == [False, True, True]
    assert (explained["acr"], explained["methods"]) == ("aal2", ["totp"])
    assert explained["trusted_devices"] is False
    assert "must prove: aal2" in told
    assert johndoe.json("policy", "explain", "johndoe")["acr"] == "aal1"
    assert johndoe.json("policy", "explain", "johndoe")["due"].startswith("2999-01-01")


@pytest.fixture
def johndoe(sqlite_cli: Cli) -> Cli:
    """An installation in which John has an account."""
    sqlite_cli.done("init")
    sqlite_cli.done("user", "create", "johndoe", "--password-stdin", input="correct horse battery")
    return sqlite_cli


@pytest.mark.parametrize("target", ["", "nobody", "role:", "role:two words", "everyone:x"])
def test_a_target_that_is_none_is_refused(johndoe: Cli, target: str) -> None:
    johndoe.refused("policy", "set", target, code=2)


def test_what_nobody_could_meet_is_refused(johndoe: Cli) -> None:
    johndoe.refused("policy", "set", "account:nobody")
    johndoe.refused("policy", "set", "everyone", "--method", "nothing", code=2)
    johndoe.refused("policy", "set", "role:admin", "--remove")


def test_policies_that_are_gone_are_begun_anew(johndoe: Cli) -> None:
    johndoe.done("policy", "set", "role:staff")
    with closing(sqlite3.connect(johndoe.folder / "data" / "twinlock.sqlite3")) as db:
        db.execute("DELETE FROM policy")
        db.commit()

    johndoe.refused("policy", "set", "everyone")
    johndoe.refused("policy", "set", "everyone", "--anew", "--remove", code=2)
    johndoe.done("policy", "set", "everyone", "--anew")

    assert [one["target"] for one in johndoe.json("policy", "list")["policies"]] == ["everyone"]


def test_a_route_is_explained_for_an_account(johndoe: Cli) -> None:
    johndoe.done("policy", "set", "everyone", "--from", "2999-01-01")

    def verdict(route: str) -> tuple[str, list[str]]:
        told = johndoe.json("policy", "explain", "johndoe", "--route", route)["route"]
        return told["verdict"], told["lacks"]

    assert verdict("GET /api/sessions") == ("open", [])
    assert verdict("POST /token") == ("open to anybody", [])
    closed, lacks = verdict("get /api/admin/users/0123456789abcdef0123456789abcdef")
    assert closed == "closed"
    assert lacks == [
        "Lacks the role admin.",
        "Can prove aal1 at most: a factor for aal2 is not enrolled.",
    ]
    told = johndoe.done("policy", "explain", "johndoe", "--route", "GET /api/admin/users")
    assert "GET /api/admin/users is closed." in told
    assert "Asks for a proof of the last 600 s." in told


def test_a_route_of_ones_own_application_is_explained(johndoe: Cli) -> None:
    (johndoe.folder / "shop.py").write_text(
        "from fastapi import APIRouter, FastAPI\n"
        "from twinlock import CurrentUser, Twinlock, require\n"
        "app = FastAPI()\n"
        "Twinlock().install(app)\n"
        "paid = APIRouter(prefix='/paid', dependencies=[require(scope='pay', amr='otp')])\n"
        "@paid.post('/{n}')\n"
        "async def pay(n: int, user: CurrentUser) -> None: ...\n"
        "app.include_router(paid)\n"
    )
    explain = ("policy", "explain", "johndoe", "--app", "shop:app", "--route")

    told = johndoe.json(*explain, "POST /paid/7")["route"]

    assert told["route"] == "POST /paid/{n}"
    assert "Asks for otp to have been used." in told["asks"]
    assert "Asks for the scope pay in the token." in told["asks"]
    assert "There is no route" in johndoe.refused(*explain, "POST /elsewhere")
    johndoe.refused(*explain, "/paid/7", code=2)
    johndoe.refused("policy", "explain", "johndoe", "--app", "nosuch:app", "--route", "GET /x")
