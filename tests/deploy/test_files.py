"""The files in `deploy/` name what exists: settings, metrics, commands, events."""

import configparser
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from prometheus_client import CollectorRegistry
from typer.main import get_command

from tests.support.house import House
from twinlock.audit.events import EventType
from twinlock.cli.main import app
from twinlock.cli.serve import GRACE_SECONDS
from twinlock.config.explained import variable
from twinlock.config.settings import Settings
from twinlock.telemetry.exposition import Installation
from twinlock.telemetry.metrics import Metrics

DEPLOY = Path(__file__).parents[2] / "deploy"
FILES = sorted(path for path in DEPLOY.rglob("*") if path.is_file())
OF_THE_READER = {"TWINLOCK_SECRETS_DIR"}  # where settings are read from, not one of them


def text_of(name: str) -> str:
    return (DEPLOY / name).read_text()


def expressions() -> Iterator[str]:
    for group in yaml.safe_load(text_of("prometheus/alerts.yaml"))["groups"]:
        yield from (rule["expr"] for rule in group["rules"])
    for panel in json.loads(text_of("grafana/twinlock.json"))["panels"]:
        yield from (target["expr"] for target in panel["targets"])


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(DEPLOY)))
def test_every_setting_exists(path: Path) -> None:
    known = {variable(name) for name in Settings.model_fields} | OF_THE_READER

    named = set(re.findall(r"\bTWINLOCK_[A-Z_]+[A-Z]\b", path.read_text()))

    assert named <= known


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(DEPLOY)))
def test_every_command_exists(path: Path) -> None:
    commands: Any = get_command(app)

    named = set(re.findall(r"(?:`|bin/|run --rm )twinlock ([a-z]+)", path.read_text()))

    assert named <= set(commands.commands)


def test_every_metric_and_event_is_told(sqlite_house: House) -> None:
    registry = CollectorRegistry()
    house, counted = sqlite_house, Metrics(registry)
    house.auth.observe(counted)
    with house.open() as client:
        form = {"grant_type": "password", "username": "nobody", "password": "wrong"}
        client.post("/token", data=form)
        counted.answered(method="GET", route="/", status=200, seconds=0.1)
        counted.looked_around(hashes=0, places=1)
        registry.register(Installation(lambda: house.runtime.parts, "0"))
        samples = [one for family in registry.collect() for one in family.samples]
    told, labels = {one.name for one in samples}, {label for one in samples for label in one.labels}

    named = set().union(*(re.findall(r"\btwinlock_[a-z_]+", text) for text in expressions()))
    events = set().union(*(re.findall(r'type=~?"([^"]+)"', text) for text in expressions()))

    asked = set().union(*(re.findall(r"(\w+)!?=~?\"", text) for text in expressions()))
    for text in expressions():
        asked |= {label for by in re.findall(r"by \(([^)]*)\)", text) for label in by.split(", ")}

    assert named <= told
    assert asked <= labels | {"job"}  # which Prometheus adds
    for one in "|".join(events).split("|"):
        assert one in {str(type_) for type_ in EventType} or one == r"login\\..*"


def test_every_alert_says_what_to_do() -> None:
    for group in yaml.safe_load(text_of("prometheus/alerts.yaml"))["groups"]:
        for rule in group["rules"]:
            assert rule["annotations"]["summary"].endswith(".")
            assert rule["annotations"]["action"]
            assert rule["labels"]["severity"] in {"page", "ticket"}


def test_the_containers_are_closed() -> None:
    documents = list(yaml.safe_load_all(text_of("kubernetes/twinlock.yaml")))
    [deployment] = [one for one in documents if one["kind"] == "Deployment"]
    pod = deployment["spec"]["template"]["spec"]

    for container in (*pod["initContainers"], *pod["containers"]):
        assert container["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }
    [served] = pod["containers"]
    assert served["readinessProbe"]["httpGet"]["path"] == "/readyz"
    assert served["livenessProbe"]["httpGet"]["path"] == "/healthz"
    service = yaml.safe_load(text_of("compose.yaml"))["services"]["twinlock"]
    assert service["read_only"]
    assert service["cap_drop"] == ["ALL"]


def test_the_service_is_closed() -> None:
    unit = configparser.ConfigParser(strict=False, interpolation=None)
    unit.optionxform = str  # type: ignore[assignment, method-assign]
    unit.read_string(text_of("systemd/twinlock.service"))

    service = unit["Service"]
    assert service["NoNewPrivileges"] == service["ProtectHome"] == "yes"
    assert service["ProtectSystem"] == "strict"
    assert service["CapabilityBoundingSet"] == ""
    assert service["UMask"] == "0077"
    assert int(service["TimeoutStopSec"]) > GRACE_SECONDS
