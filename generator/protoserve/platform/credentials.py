"""Removes the credentials of URLs from text that is printed."""

from __future__ import annotations

import re

# Up to the last @ before the path (RFC 3986, 3.2); with ssh the user is part of the address, as in ssh://git@host/x.
_PASSWORD = re.compile(r"(?i)(\b(?:\w+\+)?ssh://[^\s/?#:@'\"]*):[^\s/?#'\"]*@")
_USER = re.compile(r"(?i)(\b(?!(?:\w+\+)?ssh:)[a-z][a-z0-9+.-]*://)[^\s/?#'\"]*@")


def without_credentials(text: str) -> str:
    """The text with user and password left out of each URL; of ssh URLs only the password, since they need the user.

    So `https://user:TOKEN@host/x` becomes `https://host/x`, which is also what git prints.
    """
    return _USER.sub(r"\1", _PASSWORD.sub(r"\1@", text))
