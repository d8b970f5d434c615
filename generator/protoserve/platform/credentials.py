"""Removes the credentials of URLs from text that is printed."""

from __future__ import annotations

import re

# The user part of a URL (RFC 3986, 3.2.1), up to the last @ before the path. The second form is a password with a slash
# that should have been encoded: such a URL does not work, but is printed none the less.
_USER_PART = r"""(?:[^\s/]*@|[^\s/:@\[]*:(?!\d*[/\s])[^\s"']*@)"""
_USER = re.compile(rf"(?i)(\b(?!(?:\w+\+)?ssh(?:\+\w+)?:)[a-z][a-z0-9+.-]*://){_USER_PART}")
# With ssh the user is part of the address, as in ssh://git@host/x.
_PASSWORD = re.compile(r"(?i)(\b(?:\w+\+)?ssh(?:\+\w+)?://[^\s/?#:@'\"]*):[^\s/]*@")
# Servers accept tokens there, too, under names of their own: `?access_token=TOKEN`.
_QUERY = re.compile(r"""(?i)(\b[a-z][a-z0-9+.-]*://[^\s?"'<>`]*)\?[^\s"'<>`)]*""")


def without_credentials(text: str) -> str:
    """The text with user, password and query left out of each URL; ssh URLs keep the user, whom they need.

    So `https://user:TOKEN@host/x` becomes `https://host/x`, which is also what git prints.
    """
    return _QUERY.sub(r"\1", _USER.sub(r"\1", _PASSWORD.sub(r"\1@", text)))
