"""The login page of the rehearsal: one button, then back to the app with a request token.

Where Kite asks for password and second factor, this page only asks for a click. What it sends back
is Kite's: ``request_token``, ``status=success``, ``action=login``, ``type=login``, and whatever
``redirect_params`` asked to have echoed (kite.trade/docs/connect/v3/user).
"""

from __future__ import annotations

from html import escape
from typing import Final
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

from kitestring.exchange.desk.kite_error import input_error

_PAGE: Final = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>Log in · Kitestring exchange</title>
<style>body{{font:16px/1.5 system-ui,sans-serif;max-width:26rem;margin:18vh auto;padding:0 1rem}}
button{{font:inherit;padding:.6rem 1.4rem;border:0;border-radius:.4rem;background:#1b5e9e;color:#fff;
cursor:pointer}}small{{color:#555}}</style></head><body>
<h1>Kitestring exchange</h1>
<p>{app} asks to trade for <strong>{user}</strong> at this local exchange.
No money is real here; no password is asked for.</p>
<form method="post"><button type="submit" autofocus>Log in</button></form>
<p><small>You come back to {back}.</small></p>
</body></html>
"""
_LOGGED_IN: Final = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>Logged in · Kitestring exchange</title></head>
<body><h1>Logged in</h1><p>This app has no redirect address. Its request token, good once and for
five minutes:</p><p><code id="request_token">{token}</code></p></body></html>
"""


def login_page(app_name: str, user_id: str, redirect_url: str) -> str:
    """The page with its one button."""
    back = redirect_url or "a page that shows the request token"
    return _PAGE.format(app=escape(app_name), user=escape(user_id), back=escape(back))


def token_page(request_token: str) -> str:
    """What an app without a redirect address is shown instead of a redirect."""
    return _LOGGED_IN.format(token=escape(request_token))


def redirect_address(redirect_url: str, request_token: str, redirect_params: str) -> str:
    """The app's own address with what Kite adds to it, after whatever query it has already."""
    parts = urlsplit(redirect_url)
    try:
        asked = parse_qsl(redirect_params, keep_blank_values=True, max_num_fields=50)
    except ValueError:
        raise input_error("Invalid `redirect_params`.") from None
    added = urlencode(
        [
            *asked,
            ("action", "login"),
            ("type", "login"),
            ("status", "success"),
            ("request_token", request_token),
        ]
    )
    query = f"{parts.query}&{added}" if parts.query else added
    return urlunsplit((parts.scheme, parts.netloc, parts.path or "/", query, ""))
