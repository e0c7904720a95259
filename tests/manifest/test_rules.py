"""What must be in every variant, whatever was chosen."""

from __future__ import annotations

import copy
import re
from typing import Any

import pytest

from peerboot import IMAGE, systems
from peerboot.settings import parse_duration, read
from peerboot.settings_table import GENERAL
from peerboot.systems.etcd.settings import SETTINGS
from peerboot.systems.kafka.settings import SETTINGS as KAFKA_SETTINGS
from tests.manifest import pod_security
from tests.manifest.parsed import (
    ETCD_NAMES,
    KAFKA_NAMES,
    NAMES,
    VARIANTS,
    Object,
    Variant,
    env,
    mounts,
    probes,
    variant,
)  # fmt: skip
from tools import manifests

every_variant = pytest.mark.parametrize("name", NAMES)
KINDS = {
    "v1": {"Namespace", "Secret", "Service", "ServiceAccount", "ConfigMap"},
    "rbac.authorization.k8s.io/v1": {"Role", "RoleBinding"},
    "policy/v1": {"PodDisruptionBudget"},
    "networking.k8s.io/v1": {"NetworkPolicy"},
    "apps/v1": {"StatefulSet"},
}


@every_variant
def test_every_object_is_of_a_stable_api(name: str) -> None:
    """Each object is of a version that Kubernetes 1.25 has, and none stands there twice."""
    found = variant(name).objects
    assert [o for o in found if o["kind"] not in KINDS.get(o["apiVersion"], set())] == []
    keys = [(o["kind"], o["metadata"]["name"]) for o in found]
    assert len(set(keys)) == len(keys)


@every_variant
def test_the_governing_service_shows_pods_that_are_not_ready(name: str) -> None:
    """Headless, publishNotReadyAddresses, ports peerboot 7070 and the server's for peers, whose targets are numbers;
    where clients ask for each Pod, the server's for them and that of the roles, too.
    """
    found = variant(name)
    spec = found.one("Service", found.options.peers)["spec"]
    assert (spec["clusterIP"], spec["publishNotReadyAddresses"]) == ("None", True)
    each = [*found.ports("clients"), ("roles", 7072)] if found.adds.name == "postgres" else []
    assert spec["ports"] == [
        {"name": name, "port": port, "targetPort": port}
        for name, port in [("peerboot", 7070), *found.ports("peers"), *each]
    ]
    assert found.set["serviceName"] == found.options.peers


@every_variant
def test_the_client_service_shows_only_pods_that_are_ready(name: str) -> None:
    """A Service with an address of its own and the client port alone; none for a set that has no clients."""
    found = variant(name)
    if not found.ports("clients"):
        assert [o["metadata"]["name"] for o in found.of("Service")] == [found.options.peers]
        return
    spec = found.one("Service", found.client_service)["spec"]
    assert spec["ports"] == [{"name": name, "port": port, "targetPort": port} for name, port in found.ports("clients")]
    assert ("clusterIP" in spec, "publishNotReadyAddresses" in spec) == (False, False)


@every_variant
def test_every_selector_is_the_pods_labels(name: str) -> None:
    """Whatever selects Pods selects exactly this set's."""
    found = variant(name)
    labels = found.template["metadata"]["labels"]
    selectors = [
        *(service["spec"]["selector"] for service in found.of("Service")),
        *(c["labelSelector"]["matchLabels"] for c in found.pod["topologySpreadConstraints"]),
        found.set["selector"]["matchLabels"],
        found.one("PodDisruptionBudget")["spec"]["selector"]["matchLabels"],
        found.one("NetworkPolicy")["spec"]["podSelector"]["matchLabels"],
    ]
    assert [selector for selector in selectors if selector != labels] == []
    assert labels["app.kubernetes.io/instance"] == found.options.name


@every_variant
def test_the_namespace_is_everywhere_or_nowhere(name: str) -> None:
    """With --namespace every object has it, otherwise none."""
    found = variant(name)
    inside = [o["metadata"].get("namespace", "") for o in found.objects if o["kind"] != "Namespace"]
    assert set(inside) == {found.options.namespace}


@every_variant
def test_pods_pass_restricted_pod_security(name: str) -> None:
    """No control of the profile is broken."""
    assert pod_security.breaches(variant(name).pod) == []


@pytest.mark.parametrize(
    ("path", "value", "said"),
    [
        (("securityContext", "runAsNonRoot"), False, "etcd: runAsNonRoot"),
        (("securityContext", "seccompProfile"), {"type": "Unconfined"}, "etcd: seccompProfile"),
        (("hostNetwork",), True, "hostNetwork"),
        (("containers", 0, "securityContext", "allowPrivilegeEscalation"), True, "etcd: allowPrivilegeEscalation"),
        (("containers", 0, "securityContext", "capabilities"), {"drop": ["KILL"]}, "etcd: capabilities"),
        (("initContainers", 0, "securityContext", "runAsUser"), 0, "peerboot: runs as 0"),
        (("volumes", 0), {"name": "h", "hostPath": {"path": "/"}}, "volume h: hostPath"),
    ],
)
def test_the_checker_of_pod_security_finds_breaches(path: tuple[Any, ...], value: object, said: str) -> None:
    """The checker that the test above rests on sees each of these."""
    pod = copy.deepcopy(variant("etcd.yaml").pod)
    at: Any = pod
    for step in path[:-1]:
        at = at[step]
    at[path[-1]] = value
    assert said in pod_security.breaches(pod)


@every_variant
def test_one_user_for_both(name: str) -> None:
    """The Pod's user, group and fsGroup are the server's, no container has another, no root file system is written."""
    found = variant(name)
    context = found.pod["securityContext"]
    assert [context[key] for key in ("runAsUser", "runAsGroup", "fsGroup")] == [found.adds.user] * 3
    assert context["fsGroupChangePolicy"] == "OnRootMismatch"
    for container in found.containers:
        own = container["securityContext"]
        assert (own["readOnlyRootFilesystem"], "runAsUser" in own, "runAsGroup" in own) == (True, False, False)


@every_variant
def test_the_output_dir_is_in_memory_and_bounded(name: str) -> None:
    """An emptyDir in memory with a limit, written by peerboot; the server only reads it, but for a script of it."""
    found = variant(name)
    [output] = [v["emptyDir"] for v in found.pod["volumes"] if v["name"] == "output"]
    assert output == {"medium": "Memory", "sizeLimit": "8Mi"}
    assert {mounts(c)["output"] for c in found.containers} == {"/run/peerboot"}
    readers = [
        c["name"] for c in found.containers for m in c["volumeMounts"] if m["name"] == "output" and m.get("readOnly")
    ]
    assert readers == [] if found.adds.writes_output else ["etcd"]
    etcd, script = ["etcd", "--config-file=/run/peerboot/etcd.yaml"], ["sh", "/run/peerboot/launch.sh"]
    assert found.server["command"] == (etcd if found.adds.name == "etcd" else script)


@every_variant
def test_the_data_dir_is_below_the_volume(name: str) -> None:
    """Both mount the volume in one place, and the data lies in a directory of it, so that it can be renamed aside."""
    found = variant(name)
    volume, data_dir = {
        "etcd": ("/data", "/data/etcd"),
        "kafka": ("/var/lib/kafka/data", "/var/lib/kafka/data/metadata"),
        "postgres": ("/var/lib/postgresql/data", "/var/lib/postgresql/data/pgdata"),
    }[found.adds.name]
    if name == "postgres-18":
        volume, data_dir = "/var/lib/postgresql", "/var/lib/postgresql/18/docker"
    assert {mounts(c)["data"] for c in found.containers} == {volume}
    assert {env(c)["PEERBOOT_DATA_DIR"] for c in found.programs} == {data_dir}
    [claim] = found.set["volumeClaimTemplates"]
    alone = found.adds.name == "postgres" and not {"--plain-sidecar", "--access-mode"} & set(VARIANTS[name])
    mode = "ReadWriteOncePod" if alone else "ReadWriteOnce"
    assert (claim["metadata"]["name"], claim["spec"]["accessModes"]) == ("data", [mode])
    assert claim["spec"]["resources"]["requests"]["storage"] == found.options.storage
    assert claim["spec"].get("storageClassName") == found.options.storage_class


@every_variant
def test_volumes_are_retained(name: str) -> None:
    """persistentVolumeClaimRetentionPolicy stays at its default, which is Retain, and its reason is told."""
    found = variant(name)
    assert "persistentVolumeClaimRetentionPolicy" not in found.set
    assert "# persistentVolumeClaimRetentionPolicy" in found.text


@every_variant
def test_every_mount_has_its_volume(name: str) -> None:
    """No container mounts what is not there, and nothing is there that none mounts."""
    found = variant(name)
    there = {v["name"] for v in found.pod["volumes"]} | {
        c["metadata"]["name"] for c in found.set["volumeClaimTemplates"]
    }
    assert {volume for c in found.containers for volume in mounts(c)} == there


@every_variant
def test_no_variables_of_services_and_no_token_for_the_server(name: str) -> None:
    """enableServiceLinks and automount are off."""
    found = variant(name)
    assert (found.pod["enableServiceLinks"], found.pod["automountServiceAccountToken"]) == (False, False)
    own = {mount.name for mount in found.adds.own_mounts}
    assert set(mounts(found.server)) - {"files", "tmp"} - own == {"data", "output"}


@every_variant
def test_the_startup_probe_never_ends_a_wait(name: str) -> None:
    """peerboot-probe every 2 s, with time for a slow node, until the end of time."""
    assert variant(name).container("peerboot")["startupProbe"] == {
        "exec": {"command": ["peerboot-probe", "startup", "--for", "1.5"]},
        "periodSeconds": 2,
        "timeoutSeconds": 5,
        "failureThreshold": 2147483647,
    }


@every_variant
def test_the_server_asks_before_it_stops(name: str) -> None:
    """The server's preStop is peerboot's /prestop, and the grace period has room for it, the stop and a rest."""
    found = variant(name)
    assert found.server["lifecycle"] == {"preStop": {"httpGet": {"path": "/prestop", "port": 7070}}}
    [leave] = {parse_duration("x", env(c)["PEERBOOT_LEAVE_TIMEOUT"]) for c in found.programs}
    assert found.pod["terminationGracePeriodSeconds"] >= 2 * leave + 10


@pytest.mark.parametrize("name", ETCD_NAMES)
def test_what_kills_etcd_is_generous_and_needs_no_quorum(name: str) -> None:
    """No probe that kills a member that has served asks etcd's /health or /readyz. What waits for the first quorum
    gives half an hour: the client port, or /health where the kubelet would need a certificate there.
    """
    for probe, spec in probes(variant(name).server).items():
        if probe == "readinessProbe":
            continue
        path, seconds = spec["httpGet"]["path"], spec["failureThreshold"] * spec["periodSeconds"]
        if spec["httpGet"]["port"] == "client":
            assert (path, seconds) == ("/version", 1800)
        elif probe == "startupProbe":
            assert (path, seconds, "tls" in mounts(variant(name).server)) == (
                "/health?exclude=NOSPACE&exclude=CORRUPT",
                1800,
                True,
            )
        else:
            assert (path, spec["httpGet"]["port"], seconds) == ("/metrics", "metrics", 120)


@pytest.mark.parametrize("name", KAFKA_NAMES)
def test_what_kills_kafka_needs_no_quorum_and_ends_no_wait(name: str) -> None:
    """Both ask the controllers' port, which opens without a leader, or the only one of brokers of a set of their own.
    Before it is open nothing ends the container, which waits for its permit; after that two minutes without a
    connection do.
    """
    found = variant(name)
    asked = {
        probe: (spec["tcpSocket"]["port"], spec["failureThreshold"] * spec["periodSeconds"])
        for probe, spec in probes(found.server).items()
        if probe != "readinessProbe"
    }
    port = "controller" if found.ports("peers") else "client"
    assert asked == {"startupProbe": (port, 2 * (2**31 - 1)), "livenessProbe": (port, 120)}


@pytest.mark.parametrize("name", KAFKA_NAMES)
def test_kafkas_log_goes_to_the_output_alone(name: str) -> None:
    """The server's Java, and no other, is told of the two files of the ConfigMap that its container mounts, which
    have no appender but the console; no garbage collector's log is written.
    """
    found = variant(name)
    given = {var["name"]: var["value"] for var in found.server["env"]}
    files = found.one("ConfigMap", found.options.files)["data"]
    assert set(files) == {"log4j2.properties", "log4j.properties"}
    where = mounts(found.server)["files"]
    assert (
        f"-Dlog4j2.configurationFile=file:{where}/log4j2.properties -Dlog4j.configuration=file:{where}/log4j.properties"
        in given["EXTRA_ARGS"]
    )
    assert ("-loggc" in given["EXTRA_ARGS"], given["LOG_DIR"]) == (False, mounts(found.server)["tmp"])
    assert [name for name, text in files.items() if "Console" not in text or "RollingFile" in text] == []


@every_variant
def test_probes_name_ports_that_exist(name: str) -> None:
    """A probe's or hook's port is one of its own container by name, or one of the Pod by number."""
    found = variant(name)
    numbers = {port["containerPort"] for c in found.containers for port in c.get("ports", [])}
    for container in found.containers:
        own = {port["name"] for port in container.get("ports", [])}
        hooks = container.get("lifecycle", {}).values()
        specs = (*probes(container).values(), *hooks)
        asked = [spec[how]["port"] for spec in specs for how in ("httpGet", "tcpSocket") if how in spec]
        assert [port for port in asked if port not in (own if isinstance(port, str) else numbers)] == []
        assert [port for port in own if len(port) > 15] == []


@every_variant
def test_services_lead_to_ports_that_exist(name: str) -> None:
    """Each Service's target is a port of the Pod."""
    found = variant(name)
    numbers = {port["containerPort"] for c in found.containers for port in c.get("ports", [])}
    targets = {port["targetPort"] for service in found.of("Service") for port in service["spec"]["ports"]}
    assert targets - numbers == set()


@every_variant
def test_every_name_in_the_environment_is_a_setting(name: str) -> None:
    """peerboot knows each name, and takes the values as they are."""
    system = systems.find(variant(name).adds.name)
    known = {row.name for row in (*GENERAL, *system.settings)}
    for container in variant(name).programs:
        assert set(env(container)) - known == set()
        plain = {key: value for key, value in env(container).items() if not key.startswith("POD_")}
        pod = {"POD_NAME": "etcd-0", "POD_NAMESPACE": "shop", "POD_UID": "1", "POD_IPS": "10.0.0.1"}
        settings = read(plain | pod, systems={system.name: system.settings})
        data_dir = "/var/lib/postgresql/18/docker" if name == "postgres-18" else system.default_data_dir
        assert (settings.system, settings.data_dir) == (system.name, data_dir)


@every_variant
def test_identity_comes_from_the_downward_api(name: str) -> None:
    """Name, namespace, UID and addresses."""
    for container in variant(name).programs:
        assert {key: value for key, value in env(container).items() if key.startswith("POD_")} == {
            "POD_NAME": "metadata.name",
            "POD_NAMESPACE": "metadata.namespace",
            "POD_UID": "metadata.uid",
            "POD_IPS": "status.podIPs",
        }


@every_variant
def test_all_of_peerboot_is_set_alike(name: str) -> None:
    """Where peerboot is there twice both have the same image, environment, mounts and rights."""
    first, *rest = variant(name).programs
    for other in rest:
        for key in ("image", "env", "volumeMounts", "securityContext", "resources"):
            assert first[key] == other[key]


@every_variant
def test_there_is_no_cpu_limit_but_where_it_is_asked_for(name: str) -> None:
    """Requests of both, a limit of memory; with --guaranteed every container's limits equal its requests."""
    found = variant(name)
    for container in found.containers:
        requests, limits = container["resources"]["requests"], container["resources"]["limits"]
        assert (set(requests), "memory" in limits) == ({"cpu", "memory"}, True)
        if found.options.guaranteed:
            assert requests == limits
        else:
            assert "cpu" not in limits


@every_variant
def test_the_pods_are_spread_and_drained_one_by_one(name: str) -> None:
    """Over nodes, as a wish; one voluntary disruption at a time; the server is the default container."""
    found = variant(name)
    spread = {c["topologyKey"]: c["whenUnsatisfiable"] for c in found.pod["topologySpreadConstraints"]}
    assert spread["kubernetes.io/hostname"] == "ScheduleAnyway"
    assert found.one("PodDisruptionBudget")["spec"]["maxUnavailable"] == 1
    assert found.template["metadata"]["annotations"] == {"kubectl.kubernetes.io/default-container": found.adds.name}


def _tcp(found: Variant, *who: str) -> set[tuple[str, int]]:
    return {("TCP", number) for each in who for _, number in found.ports(each)}


def _ports(rule: Object) -> set[tuple[str, int]]:
    return {(port["protocol"], port["port"]) for port in rule["ports"]}


@every_variant
def test_the_network_policy_lets_in_what_is_needed(name: str) -> None:
    """Census and peer port from the set's own Pods alone; clients from anywhere, where one server takes the writes at
    the port of the roles too; metrics from monitoring.
    """
    found = variant(name)
    spec = found.one("NetworkPolicy")["spec"]
    own = [{"podSelector": {"matchLabels": found.template["metadata"]["labels"]}}]
    assert spec["policyTypes"] == ["Ingress", "Egress"]
    peers, *others, metrics = spec["ingress"]
    assert (peers["from"], _ports(peers)) == (own, _tcp(found, "peers", "clients") | {("TCP", 7070)})
    if found.ports("clients"):
        clients = others.pop()
        roles = {("TCP", 7072)} if found.adds.name == "postgres" else set()
        assert ("from" in clients, _ports(clients)) == (False, _tcp(found, "clients") | roles)
    if others:
        [brokers] = others
        [whole] = brokers["from"]
        assert whole["podSelector"]["matchLabels"]["app.kubernetes.io/instance"] == found.options.name.removesuffix(
            "-controllers"
        )
        assert (found.options.name.endswith("-controllers"), _ports(brokers)) == (True, {("TCP", 9093)})
    assert _ports(metrics) == _tcp(found, "scrapers") | {("TCP", 7072)}


@every_variant
def test_the_network_policy_lets_out_what_is_needed(name: str) -> None:
    """The set's own Pods; DNS anywhere over UDP and TCP, at the ports that DNS Pods have where the network looks behind
    the Service (CoreDNS, OpenShift, Gardener); the API server where there are rights in it.
    """
    found = variant(name)
    own, *others, dns = found.one("NetworkPolicy")["spec"]["egress"][: -1 if found.options.rbac else None]
    api = found.one("NetworkPolicy")["spec"]["egress"][-1:] if found.options.rbac else []
    asks = [] if found.options.among is None else [({("TCP", port) for port in p}) for _, p in found.options.among.asks]
    assert [_ports(rule) for rule in others] == asks
    assert own["to"] == [{"podSelector": {"matchLabels": found.template["metadata"]["labels"]}}]
    assert _ports(own) == _tcp(found, "peers", "clients") | {("TCP", 7070)}
    assert ("to" in dns, _ports(dns)) == (
        False, {(protocol, port) for port in (53, 5353, 8053) for protocol in ("UDP", "TCP")},
    )  # fmt: skip
    assert [_ports(rule) for rule in api] == ([{("TCP", 443), ("TCP", 6443)}] if found.options.rbac else [])


@every_variant
def test_images_are_the_ones_that_were_named(name: str) -> None:
    """--image and --server-image, or the one constant of each."""
    found = variant(name)
    assert {c["image"] for c in found.programs} == {found.options.image}
    assert found.server["image"] == found.options.server_image


def test_the_default_image_is_the_one_constant() -> None:
    """Without --image it is peerboot.IMAGE."""
    assert variant("etcd.yaml").options.image == IMAGE


@every_variant
def test_the_secret_is_made_by_a_person(name: str) -> None:
    """Only --with-secret embeds one, and says twice not to commit it; else the command that makes it is told."""
    found: Variant = variant(name)
    options = found.options
    if not options.by_key:
        assert [v for v in found.pod["volumes"] if v["name"] == "census"] == found.of("Secret") == []
        assert "kubectl create secret" not in found.text
        return
    [volume] = [v["secret"] for v in found.pod["volumes"] if v["name"] == "census"]
    assert volume == {"secretName": options.secret_name, "defaultMode": 0o440}
    assert {mounts(c)["census"] for c in found.programs} == {"/secret"}
    if options.secret:
        key = found.one("Secret", options.secret_name)["stringData"]["census"]
        assert re.fullmatch(r"[A-Za-z0-9+/]{43}=\n", key)
        assert found.text.upper().count("DO NOT COMMIT") == 2
    else:
        assert found.of("Secret") == []
        assert f"#   {options.secret_command}\n" in found.text


def test_a_secret_is_made_anew_each_time() -> None:
    """Two manifests with an embedded key have different ones."""
    one, other = (manifests.make("--with-secret")[0].secret for _ in range(2))
    assert one != other


def test_the_ports_are_those_that_etcd_listens_on() -> None:
    """The manifest's ports are the defaults of etcd's settings, which the environment leaves alone."""
    defaults = {row.name.removeprefix("PEERBOOT_ETCD_").removesuffix("_PORT").lower(): row.default for row in SETTINGS}
    ports = {port["name"]: port["containerPort"] for port in variant("etcd.yaml").server["ports"]}
    assert ports == {name: int(str(defaults[name])) for name in ("client", "peer", "metrics")}


def test_the_ports_are_those_that_kafka_listens_on() -> None:
    """The manifest's ports and the volume of the log directories are the defaults of Kafka's settings."""
    defaults = {row.name: row.default for row in KAFKA_SETTINGS}
    found = variant("kafka.yaml")
    ports = {port["name"]: port["containerPort"] for port in found.server["ports"]}
    assert ports == {
        "client": int(str(defaults["PEERBOOT_KAFKA_BROKER_PORT"])),
        "controller": int(str(defaults["PEERBOOT_KAFKA_CONTROLLER_PORT"])),
    }
    assert str(defaults["PEERBOOT_KAFKA_LOG_DIRS"]).startswith(f"{mounts(found.server)['data']}/")


def test_the_two_sets_of_a_split_kafka_are_one_cluster() -> None:
    """Brokers name the controllers' headless Service and have other node ids; controllers know how many brokers there
    are, and are never more than three; both have one Secret, and only controllers an anchor.
    """
    for kind, whole, brokers, controllers in (("split", "kafka", 3, 3), ("split-without", "log", 5, 3)):
        told, quorum = variant(f"{kind}:{whole}"), variant(f"{kind}:{whole}-controllers")
        assert (told.set["replicas"], quorum.set["replicas"]) == (brokers, controllers)
        [one], [other] = [[env(c) for c in found.programs] for found in (told, quorum)]
        ours = {key: value for key, value in one.items() if key.startswith("PEERBOOT_KAFKA")}
        assert ours == {
            "PEERBOOT_KAFKA_ROLES": "broker",
            "PEERBOOT_KAFKA_CONTROLLERS": quorum.options.peers,
            "PEERBOOT_KAFKA_NODE_ID_BASE": "100",
        }
        theirs = {key: value for key, value in other.items() if key.startswith("PEERBOOT_KAFKA")}
        assert theirs == {"PEERBOOT_KAFKA_ROLES": "controller", "PEERBOOT_KAFKA_BROKERS": str(brokers)}
        assert told.options.secret_name == quorum.options.secret_name == f"{whole}-census"
