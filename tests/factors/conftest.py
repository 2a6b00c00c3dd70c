"""Every factor that there is, switched on."""

import pytest

from tests.support.house import House


@pytest.fixture
def house(house: House) -> House:
    """The house, with codes by mail."""
    return house.again(email_codes_enabled=True)
