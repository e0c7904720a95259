"""What peerboot knows of Kafka, against real ones and a fake that is like them."""

import pytest

# Its assertions are no test module's own, and say as little as Python's would.
pytest.register_assert_rewrite("tests.kafka.contract")
