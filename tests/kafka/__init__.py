import pytest

# Its assertions are no test module's own, and say as little as Python's would.
pytest.register_assert_rewrite("tests.kafka.contract")
