"""Why a call to Kafka was not carried out: one error, a closed set of outcomes, one line of text.

Codes and names: ``org.apache.kafka.common.protocol.Errors``. Only codes that the calls of this client can meet have a
name here; every other one is shown as its number.
"""

from __future__ import annotations

from typing import Literal

from peerboot.printing import one_line

Outcome = Literal["refused", "timeout", "tls", "sasl", "protocol", "unsupported", "not-leader", "answered"]
"""``refused``      no connection, or it ended before an answer
``timeout``      no whole answer in time
``tls``          the other side could not be trusted, or one of both speaks TLS and the other does not
``sasl``         the login was not accepted, or the other side did not prove that it knows it
``protocol``     bytes that are not Kafka's answer to this request
``unsupported``  the server's release does not have this call in a version known here
``not-leader``   an answer, from a controller that does not lead
``answered``     any other error code of Kafka: ``code``, ``name``
"""

MESSAGE_LIMIT = 300
"""Characters of a server's own message that are shown."""

NOT_LEADER_OR_FOLLOWER = 6
REQUEST_TIMED_OUT = 7
CLUSTER_AUTHORIZATION_FAILED = 31
UNSUPPORTED_VERSION = 35
NOT_CONTROLLER = 41
INVALID_REQUEST = 42
DUPLICATE_BROKER_REGISTRATION = 101
BROKER_ID_NOT_REGISTERED = 102
INCONSISTENT_CLUSTER_ID = 104
MISMATCHED_ENDPOINT_TYPE = 114
DUPLICATE_VOTER = 126
VOTER_NOT_FOUND = 127

CODES: dict[int, tuple[str, str]] = {
    -1: ("UNKNOWN_SERVER_ERROR", "an error that the server did not expect: its log says more"),
    3: ("UNKNOWN_TOPIC_OR_PARTITION", "no such topic or partition there"),
    5: ("LEADER_NOT_AVAILABLE", "the partition has no leader at the moment"),
    6: ("NOT_LEADER_OR_FOLLOWER", "this controller does not lead the quorum"),
    7: ("REQUEST_TIMED_OUT", "another change is under way, or the joiner is unreachable, behind, or has another disk"),
    8: ("BROKER_NOT_AVAILABLE", "the broker is not available"),
    9: ("REPLICA_NOT_AVAILABLE", "a replica is not available"),
    13: ("NETWORK_EXCEPTION", "the server lost its own connection before it had an answer"),
    17: ("INVALID_TOPIC_EXCEPTION", "not a topic's name"),
    29: ("TOPIC_AUTHORIZATION_FAILED", "this login lacks the right on the topic"),
    31: ("CLUSTER_AUTHORIZATION_FAILED", "this login lacks ALTER or DESCRIBE on the cluster"),
    33: ("UNSUPPORTED_SASL_MECHANISM", "the listener does not take this SASL mechanism"),
    34: ("ILLEGAL_SASL_STATE", "the server expected another step of the login"),
    35: ("UNSUPPORTED_VERSION", "a static quorum (kraft.version 0), or a controller that has not seen a leader yet"),
    37: ("INVALID_PARTITIONS", "not a number of partitions"),
    38: ("INVALID_REPLICATION_FACTOR", "not a replication factor for this cluster"),
    39: ("INVALID_REPLICA_ASSIGNMENT", "replicas that the cluster cannot have"),
    40: ("INVALID_CONFIG", "a setting that the server does not take"),
    41: ("NOT_CONTROLLER", "this controller is not the active one"),
    42: ("INVALID_REQUEST", "a wrong listener name, or a field that the server does not take"),
    44: ("POLICY_VIOLATION", "a policy of the cluster forbids it"),
    56: ("KAFKA_STORAGE_ERROR", "the server's disk failed"),
    58: ("SASL_AUTHENTICATION_FAILED", "the login was not accepted"),
    60: ("REASSIGNMENT_IN_PROGRESS", "a reassignment of the partition is under way"),
    72: ("LISTENER_NOT_FOUND", "the leader has no listener of that name"),
    77: ("STALE_BROKER_EPOCH", "the broker registered anew, or was unregistered, since"),
    85: ("NO_REASSIGNMENT_IN_PROGRESS", "there is no reassignment to cancel"),
    89: ("THROTTLING_QUOTA_EXCEEDED", "too many changes at once for the cluster's quota"),
    95: ("INVALID_UPDATE_VERSION", "not a level that this feature can go to now"),
    96: ("FEATURE_UPDATE_FAILED", "the feature was not changed"),
    100: ("UNKNOWN_TOPIC_ID", "no topic with this id"),
    101: ("DUPLICATE_BROKER_REGISTRATION", "a broker with this id is registered, and its session has not ended"),
    102: ("BROKER_ID_NOT_REGISTERED", "no broker with this id is registered"),
    104: ("INCONSISTENT_CLUSTER_ID", "it belongs to another cluster"),
    114: ("MISMATCHED_ENDPOINT_TYPE", "a broker was asked as a controller, or the other way round"),
    115: ("UNSUPPORTED_ENDPOINT_TYPE", "the server knows no such type of endpoint"),
    116: ("UNKNOWN_CONTROLLER_ID", "no such controller"),
    119: ("INVALID_REGISTRATION", "a registration that contradicts another, as of a cloned disk"),
    125: ("INVALID_VOTER_KEY", "the directory id does not fit the voter's id"),
    126: ("DUPLICATE_VOTER", "a voter with this id is there already"),
    127: ("VOTER_NOT_FOUND", "no such voter, or it is the last one, which cannot be removed"),
}
"""Code -> its name in Kafka, and what it means in the calls of this client (measured on 3.9.2 to 4.3.1)."""

MOVED = frozenset({NOT_LEADER_OR_FOLLOWER, NOT_CONTROLLER})
"""The two ways in which a controller says that another one leads: 6 by raft's calls, 41 by all others."""


class KafkaError(Exception):
    """A call that was not carried out, or nobody knows whether. ``str`` is one line, printable, bounded."""

    def __init__(self, outcome: Outcome, say: str, *, code: int = 0, sent: bool = False) -> None:
        """``code``: Kafka's, 0 if the error is not an answer. ``sent``: the request may have reached the server, and
        it has not said what became of it: after a change, look again before the next step.
        """
        super().__init__(one_line(say, MESSAGE_LIMIT * 2))
        self.outcome: Outcome = outcome
        self.code = code
        self.sent = sent

    @property
    def name(self) -> str:
        """Kafka's name of ``code``: ``DUPLICATE_VOTER``; empty if there is none."""
        return CODES.get(self.code, ("", ""))[0]

    def at(self, where: str, *, sent: bool = False) -> KafkaError:
        """The same with ``where`` before its text: ``AddRaftVoter at kafka-0:9093: …``."""
        return KafkaError(self.outcome, f"{where}: {self}", code=self.code, sent=self.sent or sent)


def answered(code: int, message: str | None = None) -> KafkaError:
    """The error for a code in an answer (not 0): its name, and the server's own message or else what it means."""
    name, meaning = CODES.get(code, ("error", ""))
    said = one_line(message, MESSAGE_LIMIT) if message else meaning
    outcome: Outcome = "not-leader" if code in MOVED else "answered"
    return KafkaError(outcome, f"{name} ({code}): {said}" if said else f"{name} {code}", code=code)


def check(code: int, message: str | None = None) -> None:
    """Raise ``KafkaError`` unless the code is 0."""
    if code:
        raise answered(code, message)
