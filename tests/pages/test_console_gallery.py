"""Every page of the console in every state, judged by axe in Chromium; none is left out.

What there is to see comes from the templates (`gallery`), how to see it from `visits_console`.
"""

import asyncio
from typing import Final

import pytest

from tests.pages.gallery import Gallery, console_templates, where
from tests.pages.guide import Guide
from tests.pages.test_gallery import EVERYTHING, judged
from tests.pages.visits_console import CONSOLE_VISITS, switched_off
from tests.support.house import House

pytestmark = [pytest.mark.browser, pytest.mark.timeout(1800)]

ON_THE_WAY: Final = {
    "reauthenticate/question.html",
    "errors/missing.html",
    "errors/no_second_factor.html",
    "errors/not_for_you.html",
    "errors/stale.html",
}
"""What an admin meets between the pages of the console: it ran out, or is not for this person."""


def is_excused(branch: tuple[str, int, int]) -> bool:
    """Tell whether nobody can see it by what an admin does, or whether another test does."""
    text = where(branch)
    return any(
        excused in text
        for excused in (
            "{% if logo %}",  # test_gallery's, as it is the same for people
            'error == "last_admin"',  # takes two admins at the same moment
            "{% elif error %}",  # for refusals that have no words of their own yet
            "for id in master_keys",  # two of them, while the command line rotates them
        )
    ) or (branch[0] == "admin/_names.html" and "method_name" in text)  # factors of a plug-in


def visited(house: House) -> Gallery:
    """Make every visit; return what was seen."""
    gallery = Gallery()
    gallery.watch(house)
    with house.open() as client:
        gallery.parse_all(house, console_templates())
        guide = Guide(house, client, gallery)
        for visit in CONSOLE_VISITS:
            visit(guide)
    silent = house.again(smtp_url=None, invitations_enabled=False, email_codes_enabled=False,
                         registration_enabled=False)  # fmt: skip
    gallery.watch(silent)
    with silent.open() as client:
        switched_off(Guide(silent, client, gallery, _people=["taken"] * 200))
    return gallery


def test_every_state_of_the_console_is_accessible_in_both_schemes(sqlite_house: House) -> None:
    house = sqlite_house.again(**EVERYTHING)
    gallery = visited(house)

    unseen = [
        where(branch)
        for branch in sorted(gallery.branches - gallery.taken)
        if branch[0].startswith("admin/") and not is_excused(branch)
    ]
    assert not unseen, "no visit reaches\n" + "\n".join(unseen)
    whole = {name for name in console_templates() if not name.startswith("admin/_")}
    assert not whole - {template for template, _ in gallery.shown}
    judged_here = console_templates() | ON_THE_WAY
    gallery.shown = {key: one for key, one in gallery.shown.items() if one.template in judged_here}

    said = asyncio.run(judged(house, gallery))

    # What was typed is kept, though only a browser without date fields can have sent it.
    said = [one for one in said if "does not conform to the required format" not in one]
    assert not said, "\n".join(said)
