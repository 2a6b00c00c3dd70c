"""The reference of settings is what the class says."""

from pathlib import Path

import pytest

from scripts import asvs, reference
from twinlock.config.explained import variable
from twinlock.config.settings import Settings


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
