"""The HTTP client: bounded in time and bytes, and every failure in a few words."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from peerboot.outside.http import Http, HttpError, Reply
from tests.doors.hostile import BOMB, HOSTILE, LIMIT, Misbehaviour, no_one, reply, server, silence


@pytest.fixture
async def http() -> AsyncIterator[Http]:
    """A client that is closed."""
    client = Http()
    yield client
    await client.close()


async def why_not(http: Http, url: str, timeout: float = 0.4, limit: int = LIMIT) -> str:
    """The reason that there is no reply."""
    with pytest.raises(HttpError) as caught:
        await http.fetch("GET", url, timeout=timeout, limit=limit)
    return str(caught.value)


async def test_a_reply_has_status_lower_case_headers_and_the_whole_body(http: Http) -> None:
    """The three parts arrive as they were sent."""
    async with server(reply(b"abc", b"X-Thing: Yes", status=b"404 Not Found")) as there:
        found = await http.fetch("GET", there.url, timeout=5)
    assert found == Reply(404, {"content-length": "3", "connection": "close", "x-thing": "Yes"}, b"abc")


@pytest.mark.parametrize(("behave", "reason"), HOSTILE.values(), ids=HOSTILE.keys())
async def test_whatever_a_server_does_the_client_says_it_in_a_few_words(
    http: Http, behave: Misbehaviour, reason: str
) -> None:
    """Each misbehaviour ends, has a name, and cost at most a few buffers of bytes."""
    async with server(behave) as there:
        said = await asyncio.wait_for(why_not(http, there.url), 10)
        sent = there.sent
    assert (said, sent < 16 << 20) == (reason, True)


async def test_a_connection_that_is_refused_says_so(http: Http) -> None:
    """Nobody listens: refused, at once."""
    with no_one() as (address, port):
        assert await why_not(http, f"http://{address}:{port}/") == "connection refused"


async def test_a_body_of_exactly_the_limit_is_whole(http: Http) -> None:
    """The limit itself is allowed, one byte more is not."""
    async with server(reply(b"x" * LIMIT)) as there:
        found = await http.fetch("GET", there.url, timeout=5, limit=LIMIT)
        too_long = await why_not(http, there.url, timeout=5, limit=LIMIT - 1)
    assert (len(found.body), too_long) == (LIMIT, f"a body larger than {LIMIT - 1} bytes")


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_a_redirect_is_an_answer_and_not_an_order(http: Http, status: int) -> None:
    """The place that it names is never asked."""
    async with server(reply(b"{}")) as elsewhere:
        away = reply(b"", b"Location: " + elsewhere.url.encode(), status=b"%d Away" % status)
        async with server(away) as there:
            found = await http.fetch("GET", there.url, timeout=5)
        asked = elsewhere.connections
    assert (found.status, asked) == (status, 0)


async def test_a_compressed_bomb_stays_compressed(http: Http) -> None:
    """Twenty megabytes of zeros in twenty kilobytes are handed on as they came."""
    async with server(reply(BOMB, b"Content-Encoding: gzip")) as there:
        found = await http.fetch("GET", there.url, timeout=5)
    assert found.body == BOMB


async def test_a_cookie_is_not_kept(http: Http) -> None:
    """What one reply sets does not go out with the next request."""
    async with server(reply(b"", b"Set-Cookie: id=1; Path=/")) as there:
        for _ in range(2):
            # By name: of bare addresses no client keeps any.
            await http.fetch("GET", f"http://localhost:{there.port}/", timeout=5)
        asked = there.asked
    assert [b"cookie" in head.lower() for head in asked] == [False, False]


async def test_a_proxy_of_the_environment_is_not_used(http: Http, monkeypatch: pytest.MonkeyPatch) -> None:
    """Peers are asked directly whatever the Pod's environment says."""
    async with server(reply(b"proxy")) as proxy, server(reply(b"peer")) as there:
        monkeypatch.setenv("http_proxy", proxy.url)
        found = await http.fetch("GET", there.url, timeout=5)
    assert found.body == b"peer"


async def test_the_request_says_nothing_of_its_maker(http: Http) -> None:
    """No user agent and no accepted encodings: nothing that invites to compress."""
    async with server(reply(b"")) as there:
        await http.fetch("GET", there.url, headers={"A": "b"}, timeout=5)
        head = there.asked[0]
    assert head == f"GET / HTTP/1.1\r\nHost: {there.address}:{there.port}\r\nA: b\r\n\r\n".encode()


async def test_a_socket_that_is_not_there_says_so(tmp_path: Path) -> None:
    """The admin commands tell a peerboot that does not run from one that refuses."""
    http = Http(unix=str(tmp_path / "none.sock"))
    said = await why_not(http, "http://peerboot/")
    await http.close()
    assert said == "no such socket"


async def test_a_client_that_is_cancelled_leaves_no_connection(http: Http) -> None:
    """The server sees the end of it."""
    async with server(silence) as there:
        asking = asyncio.create_task(http.fetch("GET", there.url, timeout=30))
        async with asyncio.timeout(5):
            await there.arrived.wait()
            asking.cancel()
            await asyncio.gather(asking, return_exceptions=True)
            await there.gone.wait()
        assert there.open == 0


@pytest.mark.parametrize(
    "url", ["http://127.0.0.1:99999/", "http://[::1/", "nonsense", "ftp://127.0.0.1/", "http://127.0.0.1:1/\n"]
)
async def test_an_address_that_is_none_is_a_failure_like_others(http: Http, url: str) -> None:
    """What DNS or a member list gives may be anything; it ends in a reason of one line, not in a bug."""
    said = await why_not(http, url)
    assert (said != "", said.isprintable(), len(said) <= 120) == (True, True, True)


def test_the_systems_certificates_are_not_loaded_with_the_library() -> None:
    """Importing aiohttp loads none of them; whoever asks for them later gets them as ever."""
    program = (
        "import ssl; before = ssl.SSLContext.load_default_certs\n"
        "from peerboot.outside import http; http.load()\n"
        "import aiohttp.connector as c\n"
        "print(c._SSL_CONTEXT_VERIFIED.get_ca_certs(), ssl.SSLContext.load_default_certs is before)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)  # noqa: S603
    assert done.stdout == "[] True\n"
