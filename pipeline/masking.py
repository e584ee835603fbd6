"""Passwords out of sight: every text that may hold a URL passes here before it is logged, shown or written."""

from __future__ import annotations

import re

MASK = "***"

# The password reaches to the last @ of the word: cameras are given passwords with @ and / in them, unescaped, and
# masking a little too much is the better mistake.
_USERINFO = re.compile(r"(?P<before>[a-z][a-z0-9+.-]*:/{1,2}[^\s/?#:@]*):[^\s'\"]*@", re.IGNORECASE)
_PARAMETER = re.compile(
    r"(?P<before>[?&;/](?:password|passwd|pass|pwd|token|secret|api_?key)=)[^\s&;#/'\"]+", re.IGNORECASE
)


def mask_url_password(text: str) -> str:
    """The text with every password of a URL in it, as user:password@ or ?password=, replaced by ``***``."""
    text = _USERINFO.sub(rf"\g<before>:{MASK}@", text)
    return _PARAMETER.sub(rf"\g<before>{MASK}", text)
