"""The reference of settings is what the class says."""

import re
from pathlib import Path

import pytest

import twinlock.testing
import twinlock.tokens
from scripts import asvs, python_reference, reference
from twinlock.config.explained import variable
from twinlock.config.settings import Settings

OF_FASTAPI_USERS = ("TwinlockStrategy", "UserManagerHooks")
"""Classes whose methods fastapi-users calls, with parameters that it describes."""


def test_the_reference_is_current() -> None:
    """Mend it with: python scripts/reference.py."""
    assert reference.main(["--check"]) == 0


def test_a_stale_reference_is_told_and_mended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(reference, "ROOT", tmp_path)

    assert reference.main(["--check"]) == 1
    assert "docs/reference/settings.md is stale" in capsys.readouterr().err
    assert not (tmp_path / "docs").exists()
    assert reference.main([]) == 0
    assert reference.main(["--check"]) == 0


def test_the_reference_lists_every_setting_once() -> None:
    page = reference.settings_page()

    headings = [line for line in page.splitlines() if line.startswith("### ")]
    assert headings == [f"### `{variable(name)}`" for name in Settings.model_fields]
    assert len(set(headings)) == len(headings)


def test_the_reference_says_nothing_about_this_machine(tmp_path: Path) -> None:
    assert str(Path.cwd()) not in reference.settings_page()
    assert "PydanticUndefined" not in reference.settings_page()


def test_every_requirement_is_shown_by_what_exists() -> None:
    assert list(asvs.problems()) == []


def test_a_test_or_section_that_is_gone_is_told() -> None:
    assert asvs.exists("docs/security.md#guessing")
    assert not asvs.exists("docs/security.md#no-such-section")
    assert asvs.exists("rules/test_reference::the_reference_is_current")
    assert not asvs.exists("rules/test_reference::no_such_test")
    assert not asvs.exists("rules/no_such_file::the_reference_is_current")


def test_everything_public_says_what_it_is() -> None:
    """A heading, how it is written, and at least a sentence."""
    page = python_reference.python_page()

    sections = re.split(r"(?m)^#{3,4} `", page)[1:]
    told = [re.sub(r"(?s)```.*?```", "", one.partition("`")[2]) for one in sections]
    assert len(sections) > 60
    assert [one for one, text in zip(sections, told, strict=True) if not text.strip()] == []


def test_every_parameter_of_what_is_public_is_told_of() -> None:
    """Under Args, or by its name in the text: of the class, where that takes them."""
    page = python_reference.python_page()

    untold = []
    for section in re.split(r"(?m)^(?=#{3,4} `)", page)[1:]:
        title = section.split("`")[1]
        found = re.search(r"(?s)```text\n(.*?)```\n(.*)", section)
        if found is None or found[1].startswith(("class ", f"{title} = ")) or "(" not in found[1]:
            continue
        written, text = found[1], found[2]
        given = written.partition("(")[2].rpartition(")")[0]
        names = re.findall(r"(?:^|, |\n    )\*{0,2}([a-z_]+)(?=[:=,\n]|$)", given)
        untold += [
            f"{title}: {name}" for name in names if f"`{name}`" not in text and name != "hook"
        ]
    assert [one for one in untold if not one.startswith(OF_FASTAPI_USERS)] == []


def test_the_python_reference_has_every_name_that_is_promised() -> None:
    page = python_reference.python_page()

    named = set(re.findall(r"(?m)^### `(\w+)`$", page))
    assert {*twinlock.__all__, *twinlock.tokens.__all__, *twinlock.testing.__all__} <= named
