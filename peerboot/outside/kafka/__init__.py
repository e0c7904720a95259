"""The door to Kafka: a client for the few calls that change or describe a cluster (client.py is where to start).

errors.py      what went wrong, in a closed set of words, and Kafka's own error codes
wire.py        Kafka's primitive types, read with bounds
values.py      what the calls give
requests.py    each call's bytes            responses.py, configs.py   bytes to values
scram.py       SASL: PLAIN and SCRAM        connection.py  one connection: frames, versions, TLS, SASL
client.py      the calls, to whoever leads
"""

from __future__ import annotations

from peerboot.outside.kafka.client import Bounds, Kafka
from peerboot.outside.kafka.connection import Address
from peerboot.outside.kafka.errors import KafkaError
from peerboot.outside.kafka.scram import Login

__all__ = ["Address", "Bounds", "Kafka", "KafkaError", "Login"]
