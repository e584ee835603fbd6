"""WebhookDestination: events to an HTTP endpoint in signed batches, by the scheme of standardwebhooks.com."""

from __future__ import annotations

import base64
import hashlib
import hmac
import ssl
import time
from collections.abc import Mapping, Sequence
from urllib.parse import unquote, urlsplit

import urllib3
from urllib3.exceptions import HTTPError, NameResolutionError, NewConnectionError, ProtocolError, SSLError, TimeoutError
from urllib3.util import Timeout

from vidan.pipeline.sinks.destination import Destination, LoggedEvent, message, to_json


class WebhookDestination(Destination):
    """Posts batches of events as JSON. Only 2xx means that they have arrived; everything else is tried again.

    Redirections are not followed: they would turn the POST into a GET, or take the events to somebody else.

    Args:
        url: Of the endpoint; user and password in it are sent by basic authentication.
        name: Of this webhook.
        run: Id of the run.
        key: What requests are signed with; None: they are not.
        headers: More headers.
        timeout: Seconds to wait for a connection or an answer.
        batch_events: Events per request, at most.
        tls: Of https.
    """

    def __init__(
        self,
        url: str,
        *,
        name: str,
        run: str,
        key: bytes | None,
        headers: Mapping[str, str],
        timeout: float,
        batch_events: int,
        tls: ssl.SSLContext,
    ) -> None:
        address = urlsplit(url)
        host = address.netloc.rpartition("@")[2]
        self.name = name
        self.to = f"{address.scheme}://{host}"  # a path may hold a secret
        self.title = f"the webhook {self.to}" if name == "webhook" else f"the webhook {name} at {self.to}"
        self.batch_events = batch_events
        self._url = address._replace(netloc=host).geturl()
        self._run = run
        self._key = key
        self._headers = {"User-Agent": "vidan", "Content-Type": "application/json", **headers}
        if address.username is not None:
            userinfo = f"{unquote(address.username)}:{unquote(address.password or '')}"
            self._headers |= urllib3.make_headers(basic_auth=userinfo)
        self._timeout = timeout
        self._pool = urllib3.PoolManager(num_pools=1, ssl_context=tls, retries=False)

    def deliver(self, events: Sequence[LoggedEvent]) -> None:
        body = to_json({"run": self._run, "events": [message(event, self._run) for event in events]})
        message_id = f"{self._run}-{events[0].number}-{events[-1].number}"
        headers = self._headers | signature_headers(self._key, message_id, int(time.time()), body)
        try:
            response = self._pool.request(
                "POST",
                self._url,
                body=body,
                headers=headers,
                redirect=False,
                preload_content=False,
                timeout=Timeout(connect=self._timeout, read=self._timeout),
            )
        except HTTPError as error:
            raise self.cannot_deliver(_reason(error, self._timeout)) from error
        status = response.status
        response.close()  # whatever else it has to say
        if not 200 <= status < 300:
            hint = "; give the address that it redirects to" if 300 <= status < 400 else ""
            raise self.cannot_deliver(f"it answers {status} {response.reason or ''}".rstrip() + hint)

    def close(self) -> None:
        self._pool.clear()


def signature_headers(key: bytes | None, message_id: str, timestamp: int, body: bytes) -> dict[str, str]:
    """The headers that name a message and, with a key, prove that it is whole and ours.

    Args:
        key: To sign with; None: only the message is named.
        message_id: The same for every attempt.
        timestamp: Of this attempt, seconds since 1970.
        body: As it is sent.
    """
    headers = {"webhook-id": message_id, "webhook-timestamp": str(timestamp)}
    if key is not None:
        signed = b".".join((message_id.encode(), str(timestamp).encode(), body))
        signature = base64.b64encode(hmac.digest(key, signed, hashlib.sha256)).decode()
        headers["webhook-signature"] = f"v1,{signature}"
    return headers


def _reason(error: HTTPError, timeout: float) -> str:
    """What is wrong, in words, without the path of the URL."""
    match error:
        case NameResolutionError():
            return "there is no host of that name, or no network"
        case NewConnectionError():  # it is a TimeoutError of urllib3, too
            return getattr(error.__cause__, "strerror", None) or "no connection"
        case SSLError():
            return f"no TLS connection: {getattr(error.args[0], 'verify_message', None) or error}"
        case TimeoutError():
            return f"no answer within {timeout:g} s"
        case ProtocolError():
            return "the connection broke"
    return str(error)
