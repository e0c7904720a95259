"""The door to Kafka: what is said on the wire to change or describe a cluster.

errors.py      what went wrong, in a closed set of words, and Kafka's own error codes
wire.py        Kafka's primitive types, read with bounds
values.py      what the calls give
requests.py    each call's bytes            responses.py   bytes to values
scram.py       SASL: PLAIN and SCRAM
"""
