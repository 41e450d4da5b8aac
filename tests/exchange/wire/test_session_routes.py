"""Logging in and out of the exchange, and what becomes of a dead token."""

import hashlib
import re
from urllib.parse import parse_qs, urlsplit

import pytest
from rehearsal import ask, ist, rehearsal, signed

from kitestring.exchange.desk.sessions import App
from kitestring.exchange.wire.kite_server import ROUTES

BACK = App(
    api_key="app1",
    api_secret="hush",
    name="<b>Mine</b>",
    redirect_url="http://127.0.0.1:5000/after?keep=1",
)


def proof(request_token, api_key="app1", secret="hush"):
    return hashlib.sha256(f"{api_key}{request_token}{secret}".encode()).hexdigest()


def log_in(exchange, **asked):
    status, headers, _ = ask(
        exchange, "POST", "/connect/login", headers={}, params={"v": "3", "api_key": "app1"} | asked
    )
    assert status == 302
    return urlsplit(headers["Location"])


def test_the_login_page_sends_the_browser_back_with_a_request_token():
    exchange = rehearsal("09:00", apps=(BACK,))
    status, headers, page = ask(
        exchange, "GET", "/connect/login", headers={}, params={"v": "3", "api_key": "app1"}
    )
    assert status == 200
    assert headers["Content-Type"].startswith("text/html")
    assert page.count(b"<button") == 1
    assert b"&lt;b&gt;Mine" in page
    back = log_in(exchange, redirect_params="strategy=orb&leg=1")
    assert (back.netloc, back.path) == ("127.0.0.1:5000", "/after")
    query = parse_qs(back.query)
    assert query["keep"] == ["1"]
    assert query["strategy"] == ["orb"]
    assert query["status"] == ["success"]
    assert query["action"] == ["login"]
    assert re.fullmatch(r"[0-9A-Za-z]{32}", query["request_token"][0])


def test_a_request_token_opens_one_session_and_no_second():
    exchange = rehearsal("09:00", apps=(BACK,))
    token = parse_qs(log_in(exchange).query)["request_token"][0]
    form = {"api_key": "app1", "request_token": token, "checksum": proof(token)}
    status, _, body = ask(exchange, "POST", "/session/token", headers={}, data=form)
    assert status == 200
    assert body["data"]["login_time"] == "2026-11-20 09:00:00"
    assert body["data"]["refresh_token"] == ""
    mine = {"Authorization": f"token app1:{body['data']['access_token']}"}
    assert ask(exchange, "GET", "/user/profile", headers=mine)[0] == 200
    again = ask(exchange, "POST", "/session/token", headers={}, data=form)
    assert (again[0], again[2]["error_type"]) == (403, "TokenException")


def test_a_wrong_checksum_and_a_late_token_are_refused():
    exchange = rehearsal("09:00", apps=(BACK,))
    token = parse_qs(log_in(exchange).query)["request_token"][0]
    form = {"api_key": "app1", "request_token": token, "checksum": proof(token, secret="wrong")}
    assert ask(exchange, "POST", "/session/token", headers={}, data=form)[0] == 403
    late = parse_qs(log_in(exchange).query)["request_token"][0]
    exchange.clock.at = ist("09:05")
    form = {"api_key": "app1", "request_token": late, "checksum": proof(late)}
    assert ask(exchange, "POST", "/session/token", headers={}, data=form)[0] == 403


def test_a_token_lives_until_six_in_the_morning():
    exchange = rehearsal("09:00")
    mine = signed(exchange)
    tomorrow = ist("06:00") + 86_400_000_000
    exchange.clock.at = tomorrow - 1
    assert ask(exchange, "GET", "/user/profile", headers=mine)[0] == 200
    exchange.clock.at = tomorrow
    status, _, body = ask(exchange, "GET", "/user/profile", headers=mine)
    assert status == 403
    assert body == {
        "status": "error",
        "message": "Incorrect `api_key` or `access_token`.",
        "data": None,
        "error_type": "TokenException",
    }


def test_a_token_made_before_six_dies_the_same_morning():
    exchange = rehearsal("05:30")
    mine = signed(exchange)
    exchange.clock.at = ist("06:00")
    assert ask(exchange, "GET", "/user/profile", headers=mine)[0] == 403


def test_a_client_that_logs_out_is_out():
    exchange = rehearsal("09:00")
    mine = signed(exchange)
    token = mine["Authorization"].partition(":")[2]
    query = {"api_key": "kitestring", "access_token": token}
    status, _, body = ask(exchange, "DELETE", "/session/token", headers=mine, params=query)
    assert (status, body) == (200, {"status": "success", "data": True})
    assert ask(exchange, "GET", "/orders", headers=mine)[0] == 403
    assert ask(exchange, "DELETE", "/session/token", headers=mine, params=query)[0] == 403


def test_a_platform_refreshes_its_token():
    platform = App(api_key="app1", api_secret="hush", refreshable=True)
    exchange = rehearsal("09:00", apps=(platform,))
    session = exchange.sessions.log_in(exchange.now(), "app1")
    form = {
        "api_key": "app1",
        "refresh_token": session.refresh_token,
        "checksum": proof(session.refresh_token),
    }
    status, _, body = ask(exchange, "POST", "/session/refresh_token", headers={}, data=form)
    assert status == 200
    assert body["data"]["access_token"] != session.access_token
    assert ask(exchange, "POST", "/session/refresh_token", headers={}, data=form)[0] == 403


@pytest.mark.parametrize("ends", [True, False])
def test_a_second_login_ends_the_first_only_where_the_switch_says_so(ends):
    exchange = rehearsal("09:00", second_login_ends_first=ends)
    first = signed(exchange)
    second = signed(exchange)
    assert ask(exchange, "GET", "/user/profile", headers=first)[0] == (403 if ends else 200)
    assert ask(exchange, "GET", "/user/profile", headers=second)[0] == 200


SIGNED = [route for route in ROUTES if route.signed]


@pytest.mark.parametrize("route", SIGNED, ids=lambda route: f"{route.method} {route.path}")
def test_every_route_refuses_a_stranger(route):
    exchange = rehearsal("09:00")
    path = re.sub(r"\{\w+\}", "x", route.path)
    for header, message in (
        ("", "Incorrect `api_key` or `access_token`."),
        ("token kitestring:guess", "Incorrect `api_key` or `access_token`."),
        ("Bearer abc", "Unknown authorization scheme"),
    ):
        headers = {"Authorization": header} if header else {}
        status, _, body = ask(exchange, route.method, path, headers=headers)
        assert (status, body["error_type"], body["message"]) == (403, "TokenException", message)


def test_only_login_logout_and_the_browsers_pages_need_no_session():
    assert {(route.method, route.path) for route in ROUTES if not route.signed} == {
        ("GET", "/connect/login"),
        ("POST", "/connect/login"),
        ("POST", "/session/token"),
        ("DELETE", "/session/token"),
        ("POST", "/session/refresh_token"),
        ("GET", "/connect/portfolio/authorise/holdings/{api_key}/{request_id}"),
        ("POST", "/connect/portfolio/authorise/holdings/{api_key}/{request_id}"),
    }


def test_instruments_may_be_had_without_a_key_where_the_switch_says_so():
    exchange = rehearsal("09:00", keyless_instruments=True)
    assert ask(exchange, "GET", "/instruments", headers={})[0] == 200
    assert ask(exchange, "GET", "/instruments/NFO", headers={})[0] == 200
    assert ask(exchange, "GET", "/orders", headers={})[0] == 403
