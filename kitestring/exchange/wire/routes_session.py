"""Login, logout and who one is: the routes of session and user."""

from __future__ import annotations

from kitestring.exchange.desk.kite_error import input_error
from kitestring.exchange.desk.profile import full_profile, profile, session_row
from kitestring.exchange.local_exchange import LocalExchange
from kitestring.exchange.wire.login_page import (
    authorise_page,
    authorised_page,
    login_page,
    redirect_address,
    token_page,
)
from kitestring.exchange.wire.rate_limits import CallClass
from kitestring.exchange.wire.routes import Call, Page, Route


def _open_session(exchange: LocalExchange, call: Call) -> object:
    form = call.form
    session = exchange.sessions.open(
        call.now, form.text("api_key"), form.text("request_token"), form.text("checksum")
    )
    return session_row(exchange.person, session)


def _refresh_session(exchange: LocalExchange, call: Call) -> object:
    form = call.form
    session = exchange.sessions.refresh(
        call.now, form.text("api_key"), form.text("refresh_token"), form.text("checksum")
    )
    return session_row(exchange.person, session)


def _close_session(exchange: LocalExchange, call: Call) -> object:
    form = call.form
    api_key = form.text("api_key")
    if "refresh_token" in form:
        exchange.sessions.forget_refresh_token(api_key, form.text("refresh_token"))
    else:
        exchange.sessions.log_out(api_key, form.text("access_token"))
    return True


def _login_page(exchange: LocalExchange, call: Call) -> Page:
    app = exchange.sessions.apps.get(call.query.text("api_key"))
    if app is None:
        raise input_error("Invalid `api_key`.")
    return Page(html=login_page(app.name, exchange.person.user_id, app.redirect_url))


def _login(exchange: LocalExchange, call: Call) -> Page:
    api_key = call.query.text("api_key")
    token = exchange.sessions.request_token(call.now, api_key)
    app = exchange.sessions.apps[api_key]
    if not app.redirect_url:
        return Page(html=token_page(token))
    params = call.query.text("redirect_params", "")
    return Page(location=redirect_address(app.redirect_url, token, params))


def _profile(exchange: LocalExchange, call: Call) -> object:
    del call
    return profile(exchange.person)


def _full_profile(exchange: LocalExchange, call: Call) -> object:
    del call
    return full_profile(exchange.person)


def _margins(exchange: LocalExchange, call: Call) -> object:
    return exchange.funds.margins(call.now)


def _segment_margins(exchange: LocalExchange, call: Call) -> object:
    return exchange.funds.segment(call.now, call.path["segment"])


def _authorise_page(exchange: LocalExchange, call: Call) -> Page:
    del call
    return Page(html=authorise_page(exchange.person.user_id))


def _authorise(exchange: LocalExchange, call: Call) -> Page:
    exchange.holdings.confirm(call.path["request_id"])
    return Page(html=authorised_page())


_AUTHORISE = "/connect/portfolio/authorise/holdings/{api_key}/{request_id}"
_FREE = CallClass.FREE
ROUTES = (
    Route("GET", "/connect/login", _login_page, _FREE, signed=False),
    Route("POST", "/connect/login", _login, _FREE, signed=False),
    Route("GET", _AUTHORISE, _authorise_page, _FREE, signed=False),
    Route("POST", _AUTHORISE, _authorise, _FREE, signed=False),
    Route("POST", "/session/token", _open_session, _FREE, signed=False),
    Route("DELETE", "/session/token", _close_session, _FREE, signed=False),
    Route("POST", "/session/refresh_token", _refresh_session, _FREE, signed=False),
    Route("GET", "/user/profile", _profile),
    Route("GET", "/user/profile/full", _full_profile),
    Route("GET", "/user/margins", _margins),
    Route("GET", "/user/margins/{segment}", _segment_margins),
)
