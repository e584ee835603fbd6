"""What goes wrong with recordings on other machines, in words, and their URLs without secrets."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager

from vidan.pipeline.errors import SourceError
from vidan.pipeline.masking import mask_secrets

NO_RANGES = "cannot be read: its server gives no parts of files (HTTP ranges); copy the recordings here first"
_EXTRAS = {
    **dict.fromkeys(("http", "https"), "remote"),
    **dict.fromkeys(("s3", "s3a"), "s3"),
    **dict.fromkeys(("gs", "gcs"), "gs"),
    **dict.fromkeys(("sftp", "ssh"), "sftp"),
}
_HTTP_URL = re.compile(r"https?://[^\s'\"]+", re.IGNORECASE)


def shown_url(url: str) -> str:
    """A URL without user, password, and the values of its query, which may be a signature."""
    if "::" in url:  # one file system within another
        return "::".join(map(shown_url, url.split("::")))
    scheme, mark, rest = url.partition("://")
    if not mark:
        return url
    place, query, _ = rest.partition("?")
    host, slash, path = place.partition("/")
    return f"{scheme}{mark}{host.rpartition('@')[2]}{slash}{path}{'?…' if query else ''}"


@contextmanager
def explained(shown: str) -> Iterator[None]:
    """Within, whatever a file system raises becomes a sentence about this URL.

    Every file system of fsspec raises errors of the library beneath it, so all are caught here.

    Raises:
        SourceError: With that sentence.
    """
    try:
        yield
    except SourceError:
        raise
    except Exception as error:
        raise SourceError(f"{shown} {_reason(shown, error)}") from None  # the error holds the URL with its secrets


def _reason(shown: str, error: BaseException) -> str:
    scheme = shown.partition("://")[0]
    status = _status(error)
    if isinstance(error, ImportError):
        extra = _EXTRAS.get(scheme)
        return f"needs pip install 'vidan[{extra}]'" if extra else f"needs more software: {error}"
    if isinstance(error, ValueError) and "rotocol not known" in str(error):
        return f"cannot be read: {scheme} is no known kind of URL; there are {', '.join(sorted(_EXTRAS))} and others"
    if isinstance(error, ValueError) and "range requests" in str(error):
        return NO_RANGES
    if isinstance(error, PermissionError) or status in (401, 403):
        return "may not be read: the other side refuses; check the URL and the credentials (see docs/batch.md)"
    if type(error).__name__.endswith("CredentialsError"):
        return "may not be read: there are no credentials, or only a part of them (see docs/batch.md)"
    if status is not None and status != 404:
        return f"cannot be read: its server answers {status}"
    cause = error.__cause__  # fsspec says of a host that does not answer, too, that there is no such file
    if isinstance(cause, OSError) and not isinstance(cause, FileNotFoundError):
        return f"cannot be reached: {cause.strerror or type(cause).__name__}"
    if isinstance(error, FileNotFoundError):
        return "does not exist"
    return f"cannot be reached: {_words(error)}"


def _words(error: BaseException) -> str:
    """What an error says, in a line, without secrets."""
    if isinstance(error, EOFError):
        return "its server ended the connection"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    words = _HTTP_URL.sub(lambda url: shown_url(url[0]), mask_secrets(str(error))).strip().splitlines()
    return words[0] if words else type(error).__name__


def _status(error: BaseException | None) -> int | None:
    """Of HTTP, from the error or those that it came from."""
    while error is not None:
        status = getattr(error, "status", None)
        if isinstance(status, int):
            return status
        error = error.__cause__ or error.__context__
    return None
