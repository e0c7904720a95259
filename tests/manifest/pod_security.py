"""The profile ``restricted`` of Kubernetes' Pod Security Standards, as far as a Pod template can break it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

VOLUMES = {"configMap", "csi", "downwardAPI", "emptyDir", "ephemeral", "persistentVolumeClaim", "projected", "secret"}
PROFILES = ("RuntimeDefault", "Localhost")


def breaches(pod: dict[str, Any]) -> list[str]:
    """One line for each control of ``baseline`` or ``restricted`` that this Pod's spec breaks."""
    return list(_of_pod(pod))


def _of_pod(pod: dict[str, Any]) -> Iterator[str]:
    own = pod.get("securityContext", {})
    for key in ("hostNetwork", "hostPID", "hostIPC"):
        if pod.get(key):
            yield key
    for volume in pod.get("volumes", []):
        for kind in set(volume) - {"name"} - VOLUMES:
            yield f"volume {volume['name']}: {kind}"
    if own.get("sysctls"):
        yield "sysctls"
    if own.get("runAsUser") == 0:
        yield "the Pod runs as 0"
    for container in (*pod.get("initContainers", []), *pod.get("containers", []), *pod.get("ephemeralContainers", [])):
        for what in _of_container(container.get("securityContext", {}), own):
            yield f"{container['name']}: {what}"
        if any("hostPort" in port for port in container.get("ports", [])):
            yield f"{container['name']}: hostPort"
        for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
            if "host" in container.get(probe, {}).get("httpGet", {}):
                yield f"{container['name']}: host of a probe"


def _of_container(context: dict[str, Any], pod: dict[str, Any]) -> Iterator[str]:
    if context.get("privileged"):
        yield "privileged"
    if context.get("allowPrivilegeEscalation") is not False:
        yield "allowPrivilegeEscalation"
    capabilities = context.get("capabilities", {})
    if "ALL" not in capabilities.get("drop", []) or set(capabilities.get("add", [])) - {"NET_BIND_SERVICE"}:
        yield "capabilities"
    if context.get("runAsNonRoot", pod.get("runAsNonRoot")) is not True:
        yield "runAsNonRoot"
    if context.get("runAsUser") == 0:
        yield "runs as 0"
    profile = context.get("seccompProfile", pod.get("seccompProfile", {}))
    if profile.get("type") not in PROFILES:
        yield "seccompProfile"
    if context.get("procMount", "Default") != "Default":
        yield "procMount"
