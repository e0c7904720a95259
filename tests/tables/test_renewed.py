"""What counts of a configuration whose Secrets change under a running Pod."""

from __future__ import annotations

from peerboot.errors import SettingsError
from peerboot.model import ClusterView, Finding
from peerboot.renewed import Renewed

VIEW = ClusterView(findings=(Finding(name="other", say="Something else.", pod="db-1"),))


class Secret:
    """A mounted one."""

    def __init__(self) -> None:
        self.content, self.reads = "first", 0

    def read(self) -> str:
        """Broken when it says so."""
        self.reads += 1
        if self.content == "broken":
            raise SettingsError("tls.key does not belong to tls.crt")
        return self.content


def names(made: Renewed[str]) -> list[tuple[str, str]]:
    """Of what is found, with whom it is about."""
    return [(found.name, found.pod) for found in made.with_trouble(VIEW, "db-0").findings]


def test_it_is_read_again_only_when_a_file_has_changed() -> None:
    """Each pass asks."""
    secret = Secret()
    made = Renewed("first", secret.read, lambda: secret.content)
    made.renew()
    assert (made.config, secret.reads) == ("first", 0)
    secret.content = "second"
    made.renew()
    made.renew()
    assert (made.config, secret.reads) == ("second", 1)


def test_while_it_is_broken_what_was_read_before_counts() -> None:
    """And it is the first thing that is told, until it is mended."""
    secret = Secret()
    made = Renewed("first", secret.read, lambda: secret.content)
    assert names(made) == [("other", "db-1")]
    secret.content = "broken"
    made.renew()
    assert (made.config, names(made)) == ("first", [("secrets-unusable", "db-0"), ("other", "db-1")])
    assert made.with_trouble(VIEW, "db-0").findings[0].say == (
        "The Secrets of db-0 cannot be used, and what was read before counts: tls.key does not belong to tls.crt."
    )
    secret.content = "mended"
    made.renew()
    assert (made.config, names(made)) == ("mended", [("other", "db-1")])


def test_one_without_mounted_files_stays_as_it_was_made() -> None:
    """There is nothing to read again."""
    made = Renewed("first")
    made.renew()
    assert (made.config, made.with_trouble(VIEW, "db-0")) == ("first", VIEW)
