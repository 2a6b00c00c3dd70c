"""The files in `deploy/` and of its pages, as the programs read them that they are for.

Where a program is not on this machine, its test is skipped; Docker and Kubernetes are never asked:
what they would say is looked for by hand, as far as it can be.
"""

import functools
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import pytest
import yaml

from scripts.system import nginx_program
from tests.cli.conftest import make_cli
from tests.cli.test_serve import serving

ROOT: Final = Path(__file__).parents[2]
DEPLOY: Final = ROOT / "deploy"
HOW_TO: Final = ROOT / "docs" / "how-to"

# The fields of Kubernetes' API (1.33) that a file of ours may use; a misspelt one is ignored there.
CONTAINER: Final = {
    "name", "image", "args", "envFrom", "ports", "livenessProbe", "readinessProbe", "lifecycle",
    "resources", "volumeMounts", "securityContext",
}  # fmt: skip
POD: Final = {
    "automountServiceAccountToken", "enableServiceLinks", "terminationGracePeriodSeconds",
    "securityContext", "initContainers", "containers", "volumes",
}  # fmt: skip
PROBE: Final = {"httpGet", "periodSeconds", "timeoutSeconds", "failureThreshold"}
API_VERSIONS: Final = {
    "ConfigMap": "v1",
    "Service": "v1",
    "Deployment": "apps/v1",
    "PodDisruptionBudget": "policy/v1",
    "Ingress": "networking.k8s.io/v1",
}


def needs(program: str) -> pytest.MarkDecorator:
    return pytest.mark.skipif(shutil.which(program) is None, reason=f"no {program} here")


def block(page: str, language: str, holding: str = "") -> str:
    """Return a page's first block in a language that holds some text."""
    text = (HOW_TO / page).read_text(encoding="utf-8")
    found: list[str] = re.findall(rf"```{language}\n(.*?)```", text, re.DOTALL)
    return next(one for one in found if holding in one)


def said_of(*command: str) -> str:
    """Return what a program says of a file that it accepts."""
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    said = done.stdout + done.stderr
    assert done.returncode == 0, said
    return said


@pytest.fixture
def unit(tmp_path: Path) -> Path:
    """The unit, with programs that this machine has."""
    text = (DEPLOY / "systemd" / "twinlock.service").read_text()
    path = tmp_path / "twinlock.service"
    path.write_text(text.replace("/opt/twinlock/bin/twinlock", shutil.which("true") or "/bin/true"))
    return path


@needs("systemd-analyze")
def test_systemd_finds_no_fault_with_the_unit(unit: Path) -> None:
    assert said_of("systemd-analyze", "verify", "--man=no", str(unit)).strip() == ""


@needs("systemd-analyze")
def test_systemd_finds_the_service_closed(unit: Path) -> None:
    said = said_of("systemd-analyze", "security", "--offline=yes", "--no-pager", str(unit))

    found = re.search(r"exposure level for twinlock\.service: ([0-9.]+)", said)
    assert found is not None
    assert float(found[1]) <= 2.0


@pytest.mark.nginx
@pytest.mark.skipif(nginx_program() is None, reason="no nginx; `make test` installs one")
def test_nginx_accepts_the_proxy(tmp_path: Path) -> None:
    server = block("deploy.md", "nginx").replace("443 ssl", "127.0.0.1:18443")
    config = tmp_path / "nginx.conf"
    config.write_text(
        f"pid {tmp_path}/pid; error_log stderr; events {{}} http {{ access_log off;\n{server}\n}}"
    )

    said = said_of(str(nginx_program()), "-t", "-p", str(tmp_path), "-c", str(config))

    assert "[warn]" not in said
    assert "[emerg]" not in said


@needs("haproxy")
def test_haproxy_accepts_the_backend(tmp_path: Path) -> None:
    config = tmp_path / "haproxy.cfg"
    config.write_text(
        "defaults\n    mode http\n    timeout connect 1s\n    timeout client 1s\n"
        "    timeout server 1s\n\n"
        "frontend people\n    bind 127.0.0.1:18444\n    default_backend hosts\n\n"
        + block("run-many-machines.md", "text", "backend hosts")
    )

    said = said_of("haproxy", "-c", "-f", str(config))

    assert "[WARNING]" not in said


def instructions() -> Iterator[tuple[str, str]]:
    """Return the instructions of the image that runs, not of the one that builds."""
    text = (DEPLOY / "container" / "Containerfile").read_text()
    joined = re.sub(r"\\\n", "", re.sub(r"^#.*\n", "", text, flags=re.MULTILINE))
    for line in joined.partition("\n\nFROM ")[2].splitlines():
        name, _, rest = line.partition(" ")
        if name:
            yield name, rest


def test_the_image_runs_as_nobody_and_has_every_extra_that_it_names() -> None:
    told = list(instructions())
    text = (DEPLOY / "container" / "Containerfile").read_text()
    [extras] = re.findall(r"\.whl\)\[([a-z,]+)\]", text)
    known = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]

    assert dict(told)["USER"] == "10001:10001"
    assert [name for name, _ in told].index("USER") < [name for name, _ in told].index("CMD")
    assert set(extras.split(",")) <= set(known)


def test_the_image_tells_a_server_that_is_alive(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cli = make_cli(tmp_path, monkeypatch)
    cli.done("init")
    found = re.search(r'CMD \["python", "-c", "(.*)"\]', dict(instructions())["HEALTHCHECK"])
    assert found is not None

    with serving(cli) as server:
        program = found[1].replace(":8000", f":{server.port}")
        look = functools.partial(
            subprocess.run,
            [sys.executable, "-c", program],
            env={"TWINLOCK_BASE_URL": f"http://localhost:{server.port}"},
            check=False,
            capture_output=True,
        )
        assert look().returncode == 0
    assert look().returncode == 1


def test_every_name_of_the_compose_file_is_one_of_its_own() -> None:
    file: dict[str, Any] = yaml.safe_load((DEPLOY / "compose.yaml").read_text())

    assert set(file) == {"name", "x-twinlock", "services", "networks", "volumes", "secrets"}
    for service in file["services"].values():
        assert set(service.get("depends_on", [])) <= set(file["services"])
        assert set(service.get("secrets", [])) <= set(file["secrets"])
        assert set(service["networks"]) <= set(file["networks"])
        named = {one.partition(":")[0] for one in service.get("volumes", [])}
        assert named <= set(file["volumes"])
        assert "image" in service or (DEPLOY / service["build"]["context"]).is_dir()
    [proxied] = file["networks"]["inside"]["ipam"]["config"]
    trusted = file["services"]["twinlock"]["environment"]["TWINLOCK_TRUSTED_PROXIES"]
    assert trusted == proxied["subnet"]
    assert (ROOT / file["services"]["twinlock"]["build"]["dockerfile"]).is_file()
    for service in ("twinlock", "postgres"):
        assert "ports" not in file["services"][service]


@pytest.fixture
def kinds() -> Mapping[str, Any]:
    documents = yaml.safe_load_all((DEPLOY / "kubernetes" / "twinlock.yaml").read_text())
    return {one["kind"]: one for one in documents}


def test_kubernetes_knows_every_kind_and_field(kinds: Mapping[str, Any]) -> None:
    assert {kind: one["apiVersion"] for kind, one in kinds.items()} == API_VERSIONS
    pod = kinds["Deployment"]["spec"]["template"]["spec"]
    assert set(kinds["Deployment"]["spec"]) <= {"replicas", "selector", "strategy", "template"}
    assert set(pod) <= POD
    for container in (*pod["initContainers"], *pod["containers"]):
        assert set(container) <= CONTAINER
        for probe in ("livenessProbe", "readinessProbe"):
            assert set(container.get(probe, {})) <= PROBE
            assert set(container.get(probe, {}).get("httpGet", {})) <= {
                "path",
                "port",
                "httpHeaders",
            }


def test_every_name_of_the_manifest_is_one_of_its_own(kinds: Mapping[str, Any]) -> None:
    template = kinds["Deployment"]["spec"]["template"]
    pod, labels = template["spec"], template["metadata"]["labels"]
    [served] = pod["containers"]
    ports = {one["name"]: one["containerPort"] for one in served["ports"]}
    volumes = {one["name"] for one in pod["volumes"]}
    config = kinds["ConfigMap"]["data"]
    service, ingress = kinds["Service"], kinds["Ingress"]["spec"]

    assert kinds["Deployment"]["spec"]["selector"]["matchLabels"] == labels
    assert kinds["PodDisruptionBudget"]["spec"]["selector"]["matchLabels"] == labels
    assert service["spec"]["selector"] == labels
    assert service["spec"]["ports"][0]["targetPort"] in ports
    for container in (*pod["initContainers"], served):
        assert {one["name"] for one in container["volumeMounts"]} == volumes
        assert container["envFrom"] == [
            {"configMapRef": {"name": kinds["ConfigMap"]["metadata"]["name"]}}
        ]
    assert served["livenessProbe"]["httpGet"]["port"] in ports
    assert str(ports["metrics"]) == config["TWINLOCK_METRICS_PORT"]
    assert all(isinstance(value, str) for value in config.values())
    [rule] = ingress["rules"]
    host = config["TWINLOCK_BASE_URL"].removeprefix("https://")
    assert rule["host"] == host == ingress["tls"][0]["hosts"][0]
    assert served["livenessProbe"]["httpGet"]["httpHeaders"] == [{"name": "Host", "value": host}]
    backend = rule["http"]["paths"][0]["backend"]["service"]
    assert backend["name"] == service["metadata"]["name"]
    assert backend["port"]["name"] == service["spec"]["ports"][0]["name"]
