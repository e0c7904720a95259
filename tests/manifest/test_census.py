"""By what the Pods of a manifest know each other."""

from __future__ import annotations

import pytest

from peerboot import cli
from tests.manifest.parsed import parse

BASE = {
    "etcd": ["--tls-secret", "t"],
    "kafka": ["--tls-secret", "t", "--users-secret", "u"],
    "postgres": ["--tls-secret", "t"],
}


@pytest.mark.parametrize("system", BASE)
@pytest.mark.parametrize("auth", ["hmac", "hmac,tls", "tls"])
def test_each_system_has_either_proof(capsys: pytest.CaptureFixture[str], system: str, auth: str) -> None:
    """The certificate lies where peerboot's container has it; the key's Secret is there only where it counts."""
    assert cli.main(["manifest", system, *BASE[system], "--census-auth", auth]) == 0
    out, err = capsys.readouterr()
    [made] = [each for each in parse(out) if each["kind"] == "StatefulSet"]
    [program] = made["spec"]["template"]["spec"]["initContainers"]
    env = {each["name"]: each.get("value") for each in program["env"]}
    where = {each["mountPath"]: each["name"] for each in program["volumeMounts"]}
    by_tls, by_key = "tls" in auth, "hmac" in auth
    assert env.get("PEERBOOT_CENSUS_AUTH") == (auth if by_tls else None)
    assert (where.get(env.get("PEERBOOT_CENSUS_TLS_DIR") or "") == "tls") == by_tls
    assert ("PEERBOOT_SECRET_FILE" in env, "census" in where.values()) == (by_key, by_key)
    assert (f"{system}-census" in err, "client auth" in out + err) == (by_key, system != "postgres" or by_tls)


WRONG = {
    "without a certificate": (
        ["--census-auth", "tls"],
        "--census-auth=tls needs the certificate that the Pods show each other: add --tls-secret NAME",
    ),
    "with a key": (
        ["--census-auth", "tls", "--tls-secret", "t", "--with-secret"],
        "--with-secret embeds a census key, and --census-auth=tls has none: drop one",
    ),
}


@pytest.mark.parametrize(("args", "say"), WRONG.values(), ids=WRONG.keys())
def test_a_wrong_choice_is_one_line(capsys: pytest.CaptureFixture[str], args: list[str], say: str) -> None:
    """Exit 2, nothing on stdout."""
    assert cli.main(["manifest", "etcd", *args]) == 2
    assert capsys.readouterr() == ("", f"peerboot: {say}\n")
