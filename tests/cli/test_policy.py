"""``twinlock policy``."""

import pytest

from tests.cli.conftest import Cli


def test_policies_are_set_listed_explained_and_removed(johndoe: Cli) -> None:
    johndoe.done("policy", "set", "everyone", "--from", "2999-01-01")
    johndoe.done("policy", "set", "role:admin", "--trusted-devices")
    johndoe.json("policy", "set", "account:johndoe", "--method", "totp")

    listed = johndoe.json("policy", "list")["policies"]
    explained = johndoe.json("policy", "explain", "johndoe")
    told = johndoe.done("policy", "explain", "johndoe")
    johndoe.done("policy", "set", "account:johndoe", "--remove")

    targets = [one["target"] for one in listed]
    assert targets[:2] == ["everyone", "role:admin"]
    assert targets[2].startswith("account:")
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
