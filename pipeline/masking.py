"""Secrets out of sight: every text that may hold one passes here before it is logged, shown or written."""

from __future__ import annotations

import re
from collections.abc import Sequence

MASK = "***"
SHORTEST_SECRET = 8

# The password reaches to the last @ of the word: cameras are given passwords with @ and / in them, unescaped, and
# masking a little too much is the better mistake.
_USERINFO = re.compile(r"(?P<before>[a-z][a-z0-9+.-]*:/{1,2}[^\s/?#:@]*):[^\s'\"]*@", re.IGNORECASE)
_PARAMETER = re.compile(
    r"(?P<before>[?&;/](?:password|passwd|pass|pwd|token|secret|api_?key)=)[^\s&;#/'\"]+", re.IGNORECASE
)

_SECRET_KEY = re.compile(r"([a-z0-9_.]+[_.])?(password|token|secret|api_?key|key\.pem)")
_kept: set[str] = set()


def mask_url_password(text: str) -> str:
    """The text with every password of a URL in it, as user:password@ or ?password=, replaced by ``***``."""
    text = _USERINFO.sub(rf"\g<before>:{MASK}@", text)
    return _PARAMETER.sub(rf"\g<before>{MASK}", text)


def is_secret_key(key: object) -> bool:
    """Whether what stands at a key of this name, in a config, is for nobody else to read."""
    return isinstance(key, str) and _SECRET_KEY.fullmatch(key) is not None


def is_secret_place(keys: Sequence[object]) -> bool:
    """Whether what stands at the end of this way of keys, in a config, is for nobody else to read.

    Headers of requests all are: they are how one proves who one is.
    """
    return bool(keys) and (is_secret_key(keys[-1]) or "headers" in keys[:-1])


def keep_secret(text: str) -> None:
    """Makes `mask_secrets` hide a text from now on, wherever it turns up; not a short one, which could be any word."""
    if len(text) >= SHORTEST_SECRET:
        _kept.add(text)


def mask_secrets(text: str) -> str:
    """The text with passwords of URLs and all that was given to `keep_secret` replaced by ``***``."""
    for secret in sorted(_kept, key=len, reverse=True):
        text = text.replace(secret, MASK)
    return mask_url_password(text)
