"""``peerboot manifest etcd --take-over``: what a StatefulSet that runs already keeps, and what it gets."""

from __future__ import annotations

import copy
import io
import json
from pathlib import Path
from typing import Any

import pytest

from peerboot import cli
from peerboot.model import SCHEMA
from tests.manifest.parsed import env, mounts, parse

ROOT = Path(__file__).parents[2]
Object = dict[str, Any]


def before() -> Object:
    """The StatefulSet of the example."""
    [found] = [each for each in parse((ROOT / "examples/etcd-adopt/before.yaml").read_text()) if _is_set(each)]
    return found


def _is_set(each: Object) -> bool:
    return bool(each["kind"] == "StatefulSet")


class Made:
    """What the command printed."""

    def __init__(self, out: str, err: str) -> None:
        self.objects = parse(out)
        self.notes = [line.removeprefix("peerboot: ") for line in err.splitlines()]
        [self.set] = [each for each in self.objects if _is_set(each)]
        self.pod = self.set["spec"]["template"]["spec"]

    def of(self, kind: str) -> list[Object]:
        """All objects of a kind."""
        return [each for each in self.objects if each["kind"] == kind]

    def container(self, name: str) -> Object:
        """One of the Pod's."""
        [found] = [each for each in (*self.pod["initContainers"], *self.pod["containers"]) if each["name"] == name]
        assert isinstance(found, dict)
        return found


@pytest.fixture
def run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Any:
    """The command with a StatefulSet."""

    def command(found: object, *options: str, base: tuple[str, ...] = ("--base-config", "etcd-base")) -> Made:
        path = tmp_path / "old.json"
        path.write_text(found if isinstance(found, str) else json.dumps(found))
        status = cli.main(["manifest", "etcd", "--take-over", str(path), *base, *options])
        out, err = capsys.readouterr()
        if status:
            raise WrongError(status, out, err)
        return Made(out, err)

    return command


class WrongError(Exception):
    """It ended with another status than 0."""


def test_what_it_keeps(run: Any) -> None:
    """Names, labels, Service, claim, image, user and the place of the data are those of the set."""
    old, new = before(), run(before())
    spec = new.set["spec"]
    assert new.set["metadata"]["name"] == old["metadata"]["name"]
    for key in ("serviceName", "replicas", "selector", "volumeClaimTemplates"):
        assert spec[key] == old["spec"][key]
    assert spec["template"]["metadata"]["labels"] == {"app": "etcd", "tier": "store"}
    assert new.container("server")["image"] == "etcd:v3.6.16"
    security = new.pod["securityContext"]
    assert [security[key] for key in ("runAsUser", "runAsGroup", "fsGroup")] == [1001, 1001, 1001]
    for name in ("peerboot", "server"):
        assert mounts(new.container(name))["datadir"] == "/var/lib/etcd"
    told = env(new.container("peerboot"))
    assert {key: told[key] for key in ("PEERBOOT_SERVICE", "PEERBOOT_DATA_DIR", "PEERBOOT_REPLICAS")} == {
        "PEERBOOT_SERVICE": "etcd",
        "PEERBOOT_DATA_DIR": "/var/lib/etcd/default.etcd",
        "PEERBOOT_REPLICAS": "3",
    }


def test_what_it_gets(run: Any) -> None:
    """Parallel Pods, none of which restarts by itself. Services, budgets and policies are somebody's and stay: none is
    printed, and a command has peerboot be found by the governing Service.
    """
    new = run(before())
    assert new.set["spec"]["podManagementPolicy"] == "Parallel"
    assert new.set["spec"]["updateStrategy"] == {"type": "RollingUpdate", "rollingUpdate": {"partition": 3}}
    assert [(each["kind"], each["metadata"]["name"]) for each in new.objects] == [
        ("ServiceAccount", "etcd-peerboot"),
        ("ConfigMap", "etcd-anchor"),
        ("Role", "etcd-peerboot"),
        ("RoleBinding", "etcd-peerboot"),
        ("StatefulSet", "etcd"),
    ]
    assert new.pod["serviceAccountName"] == "etcd-peerboot"
    [found] = [note for note in new.notes if "patch service" in note]
    assert found.partition("once: ")[2] == (
        'kubectl patch service etcd -p \'{"spec":{"publishNotReadyAddresses":true,'
        '"ports":[{"name":"peerboot","port":7070,"targetPort":7070}]}}\''
    )


def test_where_the_pods_run(run: Any) -> None:
    """What places the Pods, what the server may use and its ports' names stay; what has no place is named."""
    old = before()
    pod = old["spec"]["template"]["spec"]
    [server] = pod["containers"]
    pod |= {"tolerations": [{"operator": "Exists"}], "imagePullSecrets": [{"name": "pull"}], "serviceAccountName": "x"}
    server["resources"] = {"limits": {"memory": "8Gi"}}
    server["ports"] = [{"name": "etcd-client", "containerPort": 2379}]
    pod["containers"].append({"name": "metrics", "image": "exporter"})
    new = run(old)
    assert {key: new.pod[key] for key in ("tolerations", "imagePullSecrets")} == {
        "tolerations": [{"operator": "Exists"}],
        "imagePullSecrets": [{"name": "pull"}],
    }
    assert new.container("server")["resources"] == {"limits": {"memory": "8Gi"}}
    assert [port["name"] for port in new.container("server")["ports"]] == ["client", "peer", "metrics", "etcd-client"]
    assert [note for note in new.notes if note.startswith("not carried over")] == [
        "not carried over once it manages, add what you need: container metrics"
    ]
    assert (new.pod["serviceAccountName"], new.of("ServiceAccount")) == ("x", [])
    assert new.of("RoleBinding")[0]["subjects"] == [{"kind": "ServiceAccount", "name": "x"}]


def test_what_it_says(run: Any) -> None:
    """How the set is made anew without its Pods, and which settings of etcd are not carried over."""
    notes = run(before(), "--observe", base=()).notes
    [anew] = [note for note in notes if "--cascade=orphan" in note]
    assert anew == (
        "make etcd anew around its Pods, once: kubectl delete statefulset etcd --cascade=orphan, then apply; nothing "
        "restarts until you lower its partition"
    )
    [lost] = [note for note in notes if "carried over" in note]
    assert lost == (
        "its servers have settings of their own, which are not carried over: auto-compaction-retention, "
        "quota-backend-bytes; put them into a file etcd.yaml, as etcd's config file has them, and add --base-config "
        "CONFIGMAP"
    )
    based = run(before())
    assert [note for note in based.notes if "carried over" in note] == []
    assert env(based.container("peerboot"))["PEERBOOT_BASE_CONFIG_FILE"] == "/etc/etcd-base/etcd.yaml"


def test_who_only_looks(run: Any) -> None:
    """With --observe the server's container, what runs before it and its volumes stay as they were."""
    old = before()
    pod = old["spec"]["template"]["spec"]
    pod["initContainers"] = [{"name": "prepare", "image": "tools", "command": ["true"]}]
    pod["volumes"] = [{"name": "scripts", "configMap": {"name": "scripts"}}]
    pod["containers"].append({"name": "metrics", "image": "exporter"})
    pod["terminationGracePeriodSeconds"] = 300
    old["spec"]["template"]["metadata"]["annotations"] = {"sidecar.istio.io/inject": "false"}
    new = run(old, "--observe")
    assert new.pod["containers"] == pod["containers"]
    assert new.pod["terminationGracePeriodSeconds"] == 300
    assert new.set["spec"]["template"]["metadata"]["annotations"] == {
        "sidecar.istio.io/inject": "false",
        "kubectl.kubernetes.io/default-container": "server",
    }
    assert new.pod["initContainers"][0] == pod["initContainers"][0]
    assert new.pod["volumes"][1] == pod["volumes"][0]
    assert env(new.container("peerboot"))["PEERBOOT_MODE"] == "observe"
    managed = run(old)
    assert [each["name"] for each in managed.pod["initContainers"]] == ["peerboot"]
    assert "PEERBOOT_MODE" not in env(managed.container("peerboot"))


def test_stdin(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """kubectl's output can be piped into it."""
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(json.dumps(before()).encode())))
    assert cli.main(["manifest", "etcd", "--take-over", "-", "--observe"]) == 0
    assert "serviceName: etcd\n" in capsys.readouterr().out


def test_an_option_wins(run: Any) -> None:
    """What is said on the command line counts before what the set seems to say."""
    new = run(before(), "--data-dir", "/var/lib/etcd/other", "--user", "0", "--server-image", "registry.example/etcd:1")
    assert env(new.container("peerboot"))["PEERBOOT_DATA_DIR"] == "/var/lib/etcd/other"
    assert new.pod["securityContext"]["runAsUser"] == 0
    assert "runAsNonRoot" not in new.pod["securityContext"]
    assert new.container("server")["image"] == "registry.example/etcd:1"


def bitnami() -> Object:
    """Of the Bitnami chart, what matters here: its names, its environment, and where it says the user."""
    old = before()
    labels = {f"app.kubernetes.io/{key}": value for key, value in (("instance", "kv"), ("name", "etcd"))}
    old["metadata"] = {"name": "kv-etcd", "namespace": "shop"}
    spec = old["spec"]
    spec |= {"serviceName": "kv-etcd-headless", "selector": {"matchLabels": labels}}
    spec["template"]["metadata"]["labels"] = {**labels, "helm.sh/chart": "etcd-6.0.0"}
    pod = spec["template"]["spec"]
    pod["securityContext"] = {"fsGroup": 1001}
    [container] = pod["containers"]
    del container["command"]
    url = "http://$(MY_POD_NAME).kv-etcd-headless.shop.svc.cluster.local"
    container |= {
        "image": "bitnami/etcd:3.5.1",
        "securityContext": {"runAsUser": 1001, "runAsNonRoot": True},
        "env": [
            {"name": "MY_POD_NAME", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}},
            {"name": "ETCD_DATA_DIR", "value": "/bitnami/etcd/data"},
            {"name": "ETCD_ADVERTISE_CLIENT_URLS", "value": f"{url}:2379"},
            {"name": "ETCD_INITIAL_ADVERTISE_PEER_URLS", "value": f"{url}:2380"},
            {"name": "ETCD_AUTO_COMPACTION_MODE", "value": "periodic"},
            {
                "name": "ETCD_ROOT_PASSWORD",
                "valueFrom": {"secretKeyRef": {"name": "kv-etcd", "key": "etcd-root-password"}},
            },
        ],
        "volumeMounts": [{"name": "data", "mountPath": "/bitnami/etcd"}],
    }
    spec["volumeClaimTemplates"][0]["metadata"]["name"] = "data"
    return old


def test_bitnamis(run: Any) -> None:
    """Its set is read as it is; etcd is started by its own name, and its settings in the environment are named."""
    new = run(bitnami(), base=())
    told = env(new.container("peerboot"))
    assert (told["PEERBOOT_DATA_DIR"], told["PEERBOOT_SERVICE"]) == ("/bitnami/etcd/data", "kv-etcd-headless")
    assert {each["metadata"]["namespace"] for each in new.objects} == {"shop"}
    assert new.pod["securityContext"]["runAsUser"] == 1001
    assert [note for note in new.notes if "auto-compaction-mode" in note] != []
    assert [note for note in new.notes if "password for root, from the Secret kv-etcd" in note] != []
    secured = run(bitnami(), "--users-secret", "kv-etcd-root")
    [password] = [note for note in secured.notes if "kv-etcd-root" in note]
    read, _, made = password.partition("under the key root: ")[2].partition(" | kubectl ")
    key = '{{index .data "etcd-root-password" | base64decode}}'
    assert read == f"kubectl get secret kv-etcd --namespace shop -o go-template='{key}'"
    assert made == "create secret generic kv-etcd-root --namespace shop --from-file=root=/dev/stdin"
    assert env(secured.container("peerboot"))["PEERBOOT_ETCD_LOGIN_WITHOUT_TLS"] == "allowed"


def test_tls_has_to_be_named(run: Any) -> None:
    """A set whose URLs have TLS is refused without its certificates, and taken with them."""
    old = bitnami()
    [container] = old["spec"]["template"]["spec"]["containers"]
    container["env"][2]["value"] = "https://x:2379"
    with pytest.raises(WrongError, match="the servers of kv-etcd have TLS"):
        run(old)
    for words in (
        ["etcd", "--listen-peer-urls", "https://0.0.0.0:2380"],
        ["etcd", "--peer-cert-file=/c"],
        ["etcd", "--auto-tls"],
    ):
        with pytest.raises(WrongError, match="the servers of etcd have TLS"):
            run(changed(f"{SERVER}/command", [*words, "--data-dir=/var/lib/etcd/a"]))
    plain = changed(f"{SERVER}/env", [{"name": "BACKUP", "value": "https://backup.example"}])
    assert "variable BACKUP" in " ".join(run(plain).notes)
    new = run(old, "--tls-secret", "etcd-tls")
    assert env(new.container("peerboot"))["PEERBOOT_ETCD_PEER_TLS_DIR"] == "/etc/etcd-tls"


def changed(path: str, value: object) -> Object:
    """The example with one thing otherwise; None takes it away."""
    found = copy.deepcopy(before())
    at: Any = found
    *way, last = path.split("/")
    for step in way:
        at = at[int(step)] if isinstance(at, list) else at[step]
    if value is None:
        del at[last]
    else:
        at[last] = value
    return found


SERVER = "spec/template/spec/containers/0"
CLAIM: Object = {"metadata": {"name": "wal"}, "spec": {}}
WRONG: dict[str, tuple[object, tuple[str, ...], str]] = {
    "no JSON": ("{", (), "the file is no JSON: give what `kubectl get statefulset NAME -o json` prints"),
    "deep JSON": ("[" * 100_000, (), "the file is no JSON"),
    "a list": ({"kind": "List", "items": []}, (), "the file has an object of kind 'List', not a StatefulSet"),
    "an odd kind": ({"kind": "a\nb"}, (), "the file has an object of kind 'a\\nb', not a StatefulSet"),
    "no object": ("[]", (), "the file has an object without a kind, not a StatefulSet"),
    "half": ({"kind": "StatefulSet"}, (), "(Object missing required field `metadata`)"),
    "too deep": (changed("metadata/annotations", json.loads("[" * 60 + "]" * 60)), (), "nested more than 40 deep"),
    "no number": (changed("spec/replicas", 2.7), (), "(Expected `int`, got `float` - at `$.spec.replicas`)"),
    "endless": (json.dumps(changed("spec/replicas", 7777)).replace("7777", "1e999"), (), "the file is no JSON"),
    "no replicas": (changed("spec/replicas", 0), (), "has no replicas of etcd"),
    "no Service": (changed("spec/serviceName", ""), (), "names no governing Service for etcd"),
    "no text": (changed("spec/serviceName", 5), (), "(Expected `str`, got `int` - at `$.spec.serviceName`)"),
    "no image": (changed(f"{SERVER}/image", None), (), "the server is known by being the only one, with an image"),
    "no list": (changed("spec/template/spec/volumes", 5), (), "(Expected `array`, got `int`"),
    "no variable": (changed(f"{SERVER}/env", ["x"]), (), "(Expected `object`, got `str`"),
    "numbered from five": (changed("spec/ordinals", {"start": 5}), (), "numbers the Pods of etcd from 5 on"),
    "a volume like ours": (
        changed("spec/template/spec/volumes", [{"name": "output", "emptyDir": {}}]),
        ("--observe",),
        "has a volume output, and so has peerboot",
    ),
    "a claim like ours": (changed("spec/volumeClaimTemplates/0/metadata/name", "output"), (), "has a volume output"),
    "the nodes' network": (changed("spec/template/spec/hostNetwork", value=True), (), "in the nodes' network"),
    "an odd name": (changed("metadata/name", "a\nb"), (), "- at `$.metadata.name`)"),
    "a dangerous Service": (changed("spec/serviceName", "x; rm -rf /"), (), "- at `$.spec.serviceName`)"),
    "a used namespace": (
        before(),
        ("--with-namespace", "--namespace", "shop"),
        "--with-namespace is for a new namespace",
    ),
    "a word of a shell": (before(), ("--data-dir", "/var/lib/etcd/a;b"), "is in '/var/lib/etcd/a;b', and that is no"),
    "no word": (before(), ("--data-dir", ""), "--data-dir='' is empty"),
    "reached elsewhere": (
        changed(
            f"{SERVER}/command", ["etcd", "--data-dir=/var/lib/etcd/a", "--initial-advertise-peer-urls=http://x:7001"]
        ),
        (),
        "the servers of etcd listen for peers on 7001, and what is printed on 2380",
    ),
    "a part of it": (
        changed(f"{SERVER}/volumeMounts", [{"name": "datadir", "mountPath": "/d", "subPathExpr": "$(POD_NAME)"}]),
        (),
        "('$(POD_NAME)'): make the set by hand",
    ),
    "two directories": (
        changed(f"{SERVER}/command", ["sh", "-c", "get --data-dir=/var/lib/etcd/a; etcd --data-dir=/var/lib/etcd/b"]),
        (),
        "add --data-dir PATH",
    ),
    "a file of its own": (
        changed(f"{SERVER}/command", ["etcd", "--config-file=/etc/etcd.yaml", "--data-dir=/var/lib/etcd/a"]),
        (),
        "add --data-dir PATH",
    ),
    "without rights": (before(), ("--no-rbac",), "--take-over needs the anchor"),
    "expressions": (
        changed("spec/selector/matchExpressions", [{"key": "app", "operator": "Exists"}]),
        (),
        "selects the Pods of etcd by expressions",
    ),
    "no volume": (changed("spec/volumeClaimTemplates", None), (), "has 0 volumes of its own for each Pod (none)"),
    "two volumes": (
        changed("spec/volumeClaimTemplates", [*before()["spec"]["volumeClaimTemplates"], CLAIM]),
        (),
        "has 2 volumes of its own for each Pod (datadir, wal)",
    ),
    "not mounted": (changed(f"{SERVER}/volumeMounts", []), (), "has 0 mounts of the volume datadir (none)"),
    "no user": (changed("spec/template/spec/securityContext", {}), (), "add --user NUMBER (`kubectl exec etcd-0"),
    "no directory": (changed(f"{SERVER}/command", ["etcd"]), (), "add --data-dir PATH"),
    "a variable": (changed(f"{SERVER}/command", ["etcd", "--data-dir=$DIR"]), (), "add --data-dir PATH"),
    "the volume itself": (before(), ("--data-dir", "/var/lib/etcd"), "is no directory below /var/lib/etcd"),
    "elsewhere": (before(), ("--data-dir", "/data"), "is no directory below /var/lib/etcd"),
    "upwards": (before(), ("--data-dir", "/var/lib/etcd/../x"), "is no directory below /var/lib/etcd"),
    "own log directory": (
        changed(f"{SERVER}/command", ["etcd", "--data-dir=/var/lib/etcd/a", "--wal-dir=/var/lib/etcd/b"]),
        (),
        "the servers of etcd have wal-dir",
    ),
    "other ports": (
        changed(
            f"{SERVER}/command", ["etcd", "--data-dir=/var/lib/etcd/a", "--listen-client-urls=http://0.0.0.0:4001"]
        ),
        (),
        "the servers of etcd listen for clients on 4001, and what is printed on 2379",
    ),
    "a name": (before(), ("--name", "x"), "--name is kept as it is by --take-over: drop it"),
    "replicas": (before(), ("--replicas", "5"), "--replicas is kept as it is by --take-over: drop it"),
    "in turn": (before(), ("--ordered-ready",), "--take-over is for a cluster that is there"),
    "negative": (before(), ("--user=-1",), "--user=-1 is no user"),
    "elsewhere too": (bitnami(), ("--namespace", "cellar"), "the StatefulSet is in shop: drop it, or name that one"),
}


@pytest.mark.parametrize("name", WRONG)
def test_one_line_for_what_cannot_be(run: Any, name: str) -> None:
    """Each with exit code 2, nothing on stdout, and what to do."""
    found, options, said = WRONG[name]
    with pytest.raises(WrongError) as caught:
        run(found, *options)
    status, out, err = caught.value.args
    assert (status, out, len(err.splitlines()), said in err) == (2, "", 1, True), err


def test_a_quota_is_not_lost(run: Any) -> None:
    """A set with one is refused without settings of its own: a larger database would take no writes."""
    with pytest.raises(WrongError, match="have a quota-backend-bytes"):
        run(before(), base=())


def test_it_forms_nothing(run: Any) -> None:
    """The anchor says from the start that there is a cluster: Pods on blank disks never form another one."""
    [anchor] = [each for each in run(before()).objects if each["kind"] == "ConfigMap"]
    said = json.loads(anchor["data"]["birth"])
    assert (anchor["immutable"], said["version"], len(said["token"])) == (True, SCHEMA, 32)


@pytest.mark.parametrize("plain", [(), ("--plain-sidecar",)])
def test_who_runs_as_whom(run: Any, plain: tuple[str, ...]) -> None:
    """While peerboot looks the Pod's rights stay, so that what ran before the server still can; peerboot alone has the
    user whose the data is.
    """
    old = before()
    pod = old["spec"]["template"]["spec"]
    pod["securityContext"] = {"supplementalGroups": [7]}
    pod["containers"][0]["securityContext"] = {"runAsUser": 1001}
    pod["initContainers"] = [{"name": "chown", "image": "tools", "securityContext": {"runAsUser": 0}}]
    new = run(old, "--observe", *plain)
    assert new.pod["securityContext"] == {"supplementalGroups": [7], "fsGroup": 1001}
    assert new.pod["initContainers"][0] == pod["initContainers"][0]
    assert new.container("peerboot")["securityContext"]["runAsUser"] == 1001
    assert "enableServiceLinks" not in new.pod


def test_what_stays_is_written_as_it_is(run: Any) -> None:
    """Whatever texts and numbers stand in the container, a reader of YAML gets them back."""
    old = before()
    [server] = old["spec"]["template"]["spec"]["containers"]
    odd = ["yes", "0x1", "1e3", "", " ", "\u2028", "a\nb\n", "\U0001f980", "#", "- a", "null", "\x85", "{a: b}"]
    server["env"] = [{"name": f"V{number}", "value": text} for number, text in enumerate(odd)]
    server["odd"] = [1.5, 1e16, 1e-7, True, 10**15, {}, [], {"a": []}]
    assert run(old, "--observe", "--data-dir", "/var/lib/etcd/default.etcd").container("server") == server


@pytest.mark.parametrize("option", [["--observe"], ["--data-dir", "/x"], ["--user", "0"]])
def test_options_without_it(capsys: pytest.CaptureFixture[str], option: list[str]) -> None:
    """What belongs to --take-over is not swallowed without it."""
    assert cli.main(["manifest", "etcd", *option]) == 2
    assert capsys.readouterr().err == f"peerboot: {option[0]} is for --take-over: add that, or drop it\n"


def test_a_file_that_is_not_there(capsys: pytest.CaptureFixture[str]) -> None:
    """It is named."""
    assert cli.main(["manifest", "etcd", "--take-over", "/nowhere"]) == 2
    assert capsys.readouterr().err.startswith("peerboot: --take-over=/nowhere cannot be read: No such file")


def test_it_is_etcds(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Other systems have no such choice."""
    path = tmp_path / "old.json"
    path.write_text(json.dumps(before()))
    assert cli.main(["manifest", "kafka", "--take-over", str(path)]) == 2
    assert "--take-over is not for kafka" in capsys.readouterr().err
