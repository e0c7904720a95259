"""Events of the Pod: one a change of decision, not too many, and whether they can be made never matters."""

from __future__ import annotations

import asyncio

import pytest

from peerboot.events import KEPT, MESSAGE, Events
from peerboot.model import Decision, Kind
from tests.doors.api_contract import pod
from tests.run.api_model import Api, FakeKubernetes
from tests.run.turned import EPOCH, TurnedClock, turned

WAIT = Decision(kind="wait", rule="wait-for-all", reason="This disk is blank.")
SERVES = Decision(kind="idle", rule="serving", reason="Member 1 serves.")


def decision(number: int, kind: Kind = "idle") -> Decision:
    """One of many."""
    return Decision(kind=kind, rule=f"rule-{number}", reason="…")


class Story:
    """A Pod that tells its events to an API."""

    def __init__(self) -> None:
        self.api = Api()
        self.said: list[str] = []
        door = FakeKubernetes(self.api, warn=self.said.append, tell=self.said.append)
        self.events = Events(pod(), door, TurnedClock())
        self.task = asyncio.create_task(self.events.loop())

    async def after(self, seconds: float) -> list[tuple[object, object]]:
        """Type and reason of each event, so many seconds later."""
        await asyncio.sleep(seconds)
        return [(event["type"], event["reason"]) for event in self.api.events]

    async def end(self) -> None:
        """The Pod is gone."""
        self.task.cancel()
        await asyncio.gather(self.task, return_exceptions=True)


@turned
async def test_a_change_is_told_within_a_second() -> None:
    """As an event of this very Pod, with the one sentence that every other place shows."""
    story = Story()
    story.events.note(SERVES)
    await story.after(1)
    await story.end()
    stamp = "2026-01-01T00:16:40Z"
    assert EPOCH + 1000 == 1_767_226_600
    assert story.api.events == [
        {
            "apiVersion": "v1",
            "kind": "Event",
            "metadata": {"generateName": "db-1.", "namespace": "prod"},
            "involvedObject": {
                "apiVersion": "v1",
                "kind": "Pod",
                "namespace": "prod",
                "name": "db-1",
                "uid": "2f6c9d0e-0000-4000-8000-000000000001",
            },
            "type": "Normal",
            "reason": "Serving",
            "message": "idle (serving): Member 1 serves.",
            "source": {"component": "peerboot"},
            "reportingComponent": "peerboot",
            "reportingInstance": "db-1",
            "firstTimestamp": stamp,
            "lastTimestamp": stamp,
            "count": 1,
        }
    ]


@turned
async def test_a_wait_is_a_warning_once_it_has_lasted() -> None:
    """Every start waits for a moment. After ten seconds it is told once more, as a warning, and then no more."""
    story = Story()
    story.events.note(WAIT)
    assert await story.after(5) == [("Normal", "WaitForAll")]
    assert await story.after(300) == [("Normal", "WaitForAll"), ("Warning", "WaitForAll")]
    await story.end()


@turned
async def test_a_refusal_is_a_warning_at_once() -> None:
    """Somebody has to do something."""
    story = Story()
    story.events.note(Decision(kind="refuse", rule="anchor-forbids", reason="Every disk is blank."))
    assert await story.after(1) == [("Warning", "AnchorForbids")]
    await story.end()


@turned
async def test_a_short_wait_that_is_over_is_no_warning() -> None:
    """However late it is told: it did not last."""
    story = Story()
    for noted in (SERVES, WAIT, SERVES):
        story.events.note(noted)
    assert await story.after(60) == [("Normal", "Serving"), ("Normal", "WaitForAll"), ("Normal", "Serving")]
    await story.end()


@turned
async def test_the_same_decision_is_told_once() -> None:
    """Kind and rule make it; who is waited for may change every second."""
    story = Story()
    for number in range(100):
        story.events.note(Decision(kind="idle", rule="serving", reason=f"{number}"))
        await asyncio.sleep(1)
    assert await story.after(60) == [("Normal", "Serving")]
    await story.end()


@turned
async def test_at_most_one_in_ten_seconds_and_few_are_kept() -> None:
    """A decision that flaps fills neither the API nor the memory; the last one is always told."""
    story = Story()
    for number in range(1000):
        story.events.note(decision(number))
        await asyncio.sleep(0.1)
    during = len(story.api.events)
    told = await story.after(200)
    await story.end()
    assert (during <= 11, len(told) <= during + KEPT, told[-1]) == (True, True, ("Normal", "Rule999"))


@turned
async def test_the_message_is_bounded() -> None:
    """The API refuses more than 1024 characters."""
    story = Story()
    story.events.note(Decision(kind="idle", rule="serving", reason="long\n" * 5000))
    await story.after(1)
    await story.end()
    message = story.api.events[0]["message"]
    assert (len(message) <= MESSAGE, "\n" in message) == (True, False)


@pytest.mark.parametrize("weather", ["silence", "refused", "unauthorized", "forbidden", "broken"])
def test_events_that_cannot_be_made_are_said_once(weather: str) -> None:
    """One attempt each, one line in the log; when the API answers again the next one is told."""

    @turned
    async def story() -> None:
        story = Story()
        story.api.weather = weather  # type: ignore[assignment]  # the parameters are its words
        for number in range(5):
            story.events.note(decision(number))
        assert (await story.after(120), len(story.said), story.task.done()) == ([], 1, False)
        story.api.weather = "fine"
        story.events.note(SERVES)
        assert await story.after(20) == [("Normal", "Serving")]
        assert (len(story.said), "answers again" in story.said[1]) == (2, True)
        await story.end()

    story()
