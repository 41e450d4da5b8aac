"""The pages of the rehearsal: login, and the holder's consent to a sale; one button each.

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
<html lang="en"><head><meta charset="utf-8"><title>{title} · Kitestring exchange</title>
<style>body{{font:16px/1.5 system-ui,sans-serif;max-width:26rem;margin:18vh auto;padding:0 1rem}}
button{{font:inherit;padding:.6rem 1.4rem;border:0;border-radius:.4rem;background:#1b5e9e;color:#fff;
cursor:pointer}}small{{color:#555}}</style></head><body>
<h1>Kitestring exchange</h1>
<p>{text}</p>
{form}
<p><small>{small}</small></p>
</body></html>
"""
_FORM: Final = '<form method="post"><button type="submit" autofocus>{button}</button></form>'


def login_page(app_name: str, user_id: str, redirect_url: str) -> str:
    """The page with its one button."""
    back = redirect_url or "a page that shows the request token"
    return _PAGE.format(
        title="Log in",
        text=f"{escape(app_name)} asks to trade for <strong>{escape(user_id)}</strong> at this local"
        " exchange. No money is real here; no password is asked for.",
        form=_FORM.format(button="Log in"),
        small=f"You come back to {escape(back)}.",
    )


def token_page(request_token: str) -> str:
    """What an app without a redirect address is shown instead of a redirect."""
    return _PAGE.format(
        title="Logged in",
        text=f'The request token is <code id="request_token">{escape(request_token)}</code>',
        form="",
        small="It is good once, and for five minutes. Apps with a redirect address get it there.",
    )


def authorise_page(user_id: str) -> str:
    """The depository's page on which the holder lets shares be sold today."""
    return _PAGE.format(
        title="Authorise",
        text=f"Let shares of <strong>{escape(user_id)}</strong> be sold today?",
        form=_FORM.format(button="Authorise"),
        small="Where Kite sends you to the depository, this page only asks for a click.",
    )


def authorised_page() -> str:
    """What the holder sees after it."""
    return _PAGE.format(title="Authorised", text="The sale is authorised.", form="", small="")


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
