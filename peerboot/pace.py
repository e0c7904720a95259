"""How often the world is looked at. Pure."""

from __future__ import annotations

from dataclasses import dataclass, replace


@dataclass(frozen=True)
class Pace:
    """Seconds between looks. Fleet-wide nothing grows faster than the number of Pods at rest."""

    pass_busy: float = 0.1
    """While a server is about to start for the first time: its permit is good for one start."""
    pass_rest: float = 1.0
    """The only thing looked at so often is the lock of the data directory."""
    servers_busy: float = 0.5
    servers_rest: float = 10.0
    census_busy: float = 0.5
    census_rest: float = 10.0
    census_rest_peers: int = 4
    """At rest so many peers are asked a time, in turn, whatever the size of the set."""
    look_timeout: float = 2.5
    patience: float = 4.0
    """A disk with data starts after so long even when nobody answered."""
    refuse_settle: float = 5.0
    """``init`` leaves on a refusal that has stood for so long."""
    linger: float = 2.5
    """``init`` of a Pod that was born answers on for so many rounds of the census after it heard that all are: the
    last one to be born is the first to know."""
    api_failures: int = 8
    """``init`` leaves when the system's admin API failed so many times in a row."""

    calm_after: float = 60.0
    """Once a wait or a refusal has stood for so long, a round begins no sooner than after ``calm`` seconds."""
    calm: float = 2.0

    api_first: float = 1.5
    """Between two questions to the API until there was one good answer."""
    api_soon: float = 2.0
    """While a member's pod is missing from DNS or not wanted any more, for as long as ``calm_after``."""
    api_open: float = 5.0
    """While anything else is open, and when what is above has lasted; well within ``rules.unwanted.FRESH``."""
    api_rest: float = 30.0
    api_least: float = 1.0
    """However much happens."""
    anchor_rest: float = 300.0
    """Between two looks of a serving member at its anchor, which somebody may have made anew."""
    api_head_start: float = 0.3
    """For which the first pass of a blank disk waits for its anchor."""

    def watching(self, seconds: float) -> Pace:
        """The same, with looks and rounds at rest that are no further apart."""
        return replace(self, servers_rest=min(self.servers_rest, seconds), census_rest=min(self.census_rest, seconds))

    def census_round(self, pods: int) -> float:
        """Between two rounds of asking all of so many pods, while anything is open."""
        return max(self.census_busy, pods / 20)

    def servers_round(self, servers: int) -> float:
        """The same of looks at so many servers, of which 64 are asked at a time; some take two or three requests."""
        return max(self.servers_busy, min(servers, 64) / 20)
