"""The plan of mutants names what there is; the mutants themselves are tried by hand."""

from benchmarks.processes import ROOT
from reliability import mutants


def test_every_module_and_test_of_the_plan_is_there() -> None:
    named = [
        place
        for group in mutants.plan()
        for place in (
            *(f"src/twinlock/{module}" for module in group["modules"]),
            *group["tests"],
        )
    ]

    assert [place for place in named if not list(ROOT.glob(place))] == []


def test_a_plan_can_be_cut_to_a_module() -> None:
    [group] = mutants.plan("rfc6238")

    assert group["modules"] == ["factors/totp/rfc6238.py"]
