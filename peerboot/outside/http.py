"""The client door to aiohttp: bounded in time and bytes, and every failure in a few words."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Any

from peerboot.printing import one_line

if TYPE_CHECKING:
    import ssl

    from aiohttp import ClientSession

CONNECTIONS = 32


def load(module: str = "aiohttp") -> None:
    """Import aiohttp; may be called in a thread, so that nothing else has to wait.

    It loads the system's CA certificates as it is imported: 50 ms and 2 MiB, and peerboot trusts none of them. So for
    the moment of the import nothing is loaded.
    """
    if module in sys.modules:
        return
    import ssl

    kept = ssl.SSLContext.load_default_certs
    ssl.SSLContext.load_default_certs = _load_nothing  # type: ignore[method-assign, assignment]
    try:
        import_module(module)
    finally:
        ssl.SSLContext.load_default_certs = kept  # type: ignore[method-assign]


def _load_nothing(_context: object, _purpose: object = None) -> None:
    return


class HttpError(Exception):
    """Why there is no reply, in a few words: ``connection refused``, ``no answer in 2 s`` …"""


class TlsError(HttpError):
    """The same, because the other side could not be trusted or does not speak TLS."""


@dataclass(frozen=True)
class Reply:
    """A whole reply. Header names are in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class Http:
    """A small client: no redirects, no cookies, no proxies, no decompression."""

    def __init__(self, *, unix: str = "", tls: ssl.SSLContext | None = None) -> None:
        """``unix``: path of a socket that every request goes to. ``tls``: whom to trust behind ``https``; without it
        nobody, for the system's certificates were never loaded.
        """
        self._unix = unix
        self._tls = tls
        self._session: ClientSession | None = None

    def _open(self) -> ClientSession:
        # Imported on use: it costs more than the rest of peerboot together, and the first DNS
        # question does not wait for it.
        load()
        import aiohttp

        if self._session is None:
            connector: aiohttp.BaseConnector
            if self._unix:
                connector = aiohttp.UnixConnector(self._unix, limit=CONNECTIONS)
            else:
                tls = True if self._tls is None else self._tls
                connector = aiohttp.TCPConnector(limit=CONNECTIONS, use_dns_cache=False, ssl=tls)
            self._session = aiohttp.ClientSession(
                connector=connector,
                cookie_jar=aiohttp.DummyCookieJar(),
                auto_decompress=False,
                trust_env=False,
                skip_auto_headers=("User-Agent", "Accept", "Accept-Encoding"),
                timeout=aiohttp.ClientTimeout(total=None),
            )
        return self._session

    async def fetch(
        self,
        method: str,
        url: str,
        *,
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
        timeout: float,
        limit: int = 65536,
        tls: ssl.SSLContext | None = None,
        tls_name: str = "",
    ) -> Reply:
        """One request and its whole reply within ``timeout`` seconds and ``limit`` bytes; raises ``HttpError``.

        ``tls``: whom to trust behind ``https`` for this one request, and ``tls_name`` the name that its certificate
        has to have where the URL has an address.
        """
        import aiohttp

        session = self._open()
        secured: dict[str, Any] = {} if tls is None else {"ssl": tls, "server_hostname": tls_name or None}
        try:
            async with asyncio.timeout(timeout):
                async with session.request(
                    method, url, data=body, headers=dict(headers or {}), allow_redirects=False, **secured
                ) as response:
                    content = bytearray()
                    async for chunk in response.content.iter_any():
                        content += chunk
                        if len(content) > limit:
                            raise HttpError(f"a body larger than {limit} bytes")
                    if tls is not None:
                        # Who was verified for this request is not asked again on the same connection: its certificate
                        # may end, and whether it is kept is the other side's choice.
                        response.close()
                    return Reply(response.status, {k.lower(): v for k, v in response.headers.items()}, bytes(content))
        except TimeoutError:
            raise HttpError(f"no answer in {timeout:g} s") from None
        except aiohttp.ClientSSLError as error:
            raise TlsError(_tls_reason(error)) from None
        except aiohttp.ClientConnectorError as error:
            raise HttpError(_reason(error.os_error)) from None
        except aiohttp.ServerDisconnectedError:
            raise _closed("it closed the connection without an answer", secured) from None
        except aiohttp.ClientPayloadError:
            raise HttpError("its body broke off") from None
        except aiohttp.ClientResponseError as error:
            # All are parse errors to the library; the message alone tells them apart.
            if error.message.startswith(("Got more than", "Too many headers")):
                raise HttpError("its headers are too many or too long") from None
            raise HttpError("it answered something that is not HTTP") from None
        except (aiohttp.ClientError, OSError, ValueError) as error:
            if isinstance(error, OSError) and not isinstance(error, ConnectionRefusedError):
                raise _closed(_reason(error), secured) from None
            raise HttpError(_reason(error)) from None

    async def close(self) -> None:
        """Close all connections."""
        if self._session is not None:
            await self._session.close()
            self._session = None


def _closed(text: str, secured: Mapping[str, object]) -> HttpError:
    """With TLS 1.3 a server sees a client's certificate when the client takes itself for connected, and one that does
    not accept it closes, with an alert or without.
    """
    if not secured:
        return HttpError(text)
    return TlsError(f"{text} after the TLS handshake: it does not accept this Pod's certificate, or was about to stop")


def _reason(error: BaseException) -> str:
    if isinstance(error, ConnectionRefusedError):
        return "connection refused"
    if isinstance(error, ConnectionResetError):
        return "connection reset"
    if isinstance(error, FileNotFoundError):
        return "no such socket"
    text = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return one_line(str(text)).lower()


def _tls_reason(error: BaseException) -> str:
    """``self-signed certificate``, ``certificate has expired``, ``wrong version number`` …"""
    cause = getattr(error, "certificate_error", None) or getattr(error, "os_error", None) or error
    text = getattr(cause, "verify_message", None) or getattr(cause, "reason", None) or str(cause)
    return one_line(str(text)).lower().replace("_", " ").rstrip(".")
