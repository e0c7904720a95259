"""How the kubelet asks etcd. Pure values.

Measured on 3.4.23 and 3.6.16, alike on one member of three without the others and on one with an empty log (killed
during its very first start): the client port accepts and never answers, ``/metrics`` of the metrics listener answers
200 in milliseconds, ``/health`` there 503; ``/livez`` 200 on 3.6, 404 on 3.4 (it came with 3.5.11).
"""

from __future__ import annotations

from peerboot.manifest.writer import why

HALF_HOUR = 1800
"""Seconds. Longer than a member with 8 GiB takes to get its first snapshot over a slow network, and longer than the ten
minutes after which the kubelet forgets its back-off."""

LIVENESS = {
    **why(
        "Whether the process answers at all, by the one page that does on every release with or without a quorum "
        "(/livez came with 3.5.11, /health needs a leader). A restart brings no quorum, it only takes a member away."
    ),
    "livenessProbe": {
        "httpGet": {"path": "/metrics", "port": "metrics"},
        "periodSeconds": 15,
        "timeoutSeconds": 10,
        "failureThreshold": 8,
    },
}
PARALLEL = {
    **why(
        "The client port answers once this member has been in a quorum since its start. One that has not for half an "
        "hour is restarted: it does no harm to one that waits for the others, and helps one whose very first start "
        "was cut off: that has an empty log, would hang for ever, and only when it has stopped can peerboot mend it."
    ),
    "startupProbe": {
        "httpGet": {"path": "/version", "port": "client"},
        "periodSeconds": 1,
        "timeoutSeconds": 1,
        "failureThreshold": HALF_HOUR,
    },
    **LIVENESS,
}
ORDERED = {
    **why(
        "The client port answers once this member has been in a quorum since its start, and then without one too. One "
        "that does not for half an hour is restarted: it hangs, or has an empty log of a first start that was cut off."
    ),
    "livenessProbe": {
        "httpGet": {"path": "/version", "port": "client"},
        "periodSeconds": 15,
        "timeoutSeconds": 10,
        "failureThreshold": HALF_HOUR // 15,
    },
    **why("Only that it runs: if this needed a quorum, the second Pod would not be made after an outage of all."),
    "readinessProbe": {
        "httpGet": {"path": "/metrics", "port": "metrics"},
        "periodSeconds": 2,
        "timeoutSeconds": 5,
        "failureThreshold": 5,
    },
}

SECURED_PARALLEL = {
    **why(
        "By the listener that needs no certificate, which the kubelet has not: a leader was there once since its "
        "start. A member that saw none for half an hour is restarted: it does no harm to one that waits for the "
        "others, and helps one whose very first start was cut off: that has an empty log, would hang for ever, and "
        "only when it has stopped can peerboot mend it. An alarm is a person's to end, and keeps nobody from starting."
    ),
    "startupProbe": {
        "httpGet": {"path": "/health?exclude=NOSPACE&exclude=CORRUPT", "port": "metrics"},
        "periodSeconds": 2,
        "timeoutSeconds": 2,
        "failureThreshold": HALF_HOUR // 2,
    },
    **LIVENESS,
}
"""Where clients have to show a certificate. 3.4 reads for /health, 7 s without a quorum, which is a no as well."""
SECURED_ORDERED = {**LIVENESS, **{key: value for key, value in ORDERED.items() if key != "livenessProbe"}}
