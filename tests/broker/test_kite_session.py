"""The day's token: exchanged once, kept for its owner only, refused when it is another's or dead."""

import asyncio
import datetime as dt
import hashlib
import os
import sys

import msgspec
import pytest
from kite_rig import play, raw, served

from kitestring.broker.kite_http import KiteHttp
from kitestring.broker.kite_session import (
    Credentials,
    KiteToken,
    TokenStore,
    checksum,
    next_death,
    open_session,
)
from kitestring.broker.kite_settings import local_settings
from kitestring.broker.secret_files import read_secret_file, write_secret_file
from kitestring.broker.secret_text import Secret
from kitestring.domain.errors import ConfigError, NotLoggedIn
from kitestring.domain.instants import DAY, HOUR, instant, ist

MORNING = instant(dt.date(2026, 11, 20), dt.time(8, 55))
TOKEN = KiteToken(
    api_key="key1",
    access_token=Secret("access0token0of0today"),
    public_token=Secret("public0token"),
    login_at=MORNING,
    user_id="AB1234",
)
posix = pytest.mark.skipif(sys.platform == "win32", reason="file modes are POSIX's")


@pytest.fixture
def store(tmp_path):
    return TokenStore(tmp_path / "secrets", {"KITE_API_KEY": "key1"})


def kept(store, **changes):
    """The token file with some of its lines changed; ``None`` takes one out."""
    store.keep(TOKEN)
    values = read_secret_file(store.path) | changes
    write_secret_file(store.path, {k: v for k, v in values.items() if v is not None}, "test")
    return store


def test_a_token_is_kept_and_found_again(store):
    store.keep(TOKEN)
    assert store.token(MORNING + HOUR) == TOKEN
    assert store.token(MORNING + HOUR).dies_at == instant(dt.date(2026, 11, 21), dt.time(6))
    text = store.path.read_text(encoding="utf-8")
    assert "KITE_LOGIN_TS=2026-11-20T08:55:00+05:30" in text
    assert "KITE_TOKEN_API_KEY=key1" in text


@posix
def test_nobody_else_can_read_it(store):
    before = os.umask(0)
    try:
        store.keep(TOKEN)
        store.keep(TOKEN)
    finally:
        os.umask(before)
    assert store.path.stat().st_mode & 0o777 == 0o600
    assert store.folder.stat().st_mode & 0o777 == 0o700
    assert list(store.folder.iterdir()) == [store.path]


@posix
@pytest.mark.parametrize("mode", [0o640, 0o604, 0o610, 0o666])
def test_a_file_others_may_open_is_refused(store, mode):
    store.keep(TOKEN)
    store.path.chmod(mode)
    with pytest.raises(ConfigError) as caught:
        store.token(MORNING)
    assert f"chmod 600 {store.path}" in str(caught.value)
    assert "access0token" not in str(caught.value)


@posix
@pytest.mark.parametrize("mode", [0o755, 0o710, 0o701])
def test_a_folder_others_may_open_is_refused(store, mode):
    store.keep(TOKEN)
    store.folder.chmod(mode)
    for call in (lambda: store.token(MORNING), lambda: store.keep(TOKEN)):
        with pytest.raises(ConfigError, match=f"chmod 700 {store.folder}"):
            call()


def test_a_token_dies_at_six(store):
    store.keep(TOKEN)
    six = instant(dt.date(2026, 11, 21), dt.time(6))
    assert store.token(six - 1)
    with pytest.raises(NotLoggedIn, match=r"died at 06:00.*\n.*login_kite"):
        store.token(six)


def test_a_token_of_before_six_dies_the_same_morning():
    early = instant(dt.date(2026, 11, 20), dt.time(5, 59, 59))
    assert next_death(early) == early + 1_000_000
    assert next_death(early + 1_000_000) == early + 1_000_000 + DAY


@pytest.mark.parametrize("minted_for", ["key2", "KEY1", "", None])
def test_a_token_of_another_app_is_refused(store, minted_for):
    with pytest.raises(NotLoggedIn, match="made for"):
        kept(store, KITE_TOKEN_API_KEY=minted_for).token(MORNING)


@pytest.mark.parametrize("said", ["", None, "this morning", "1795149000"])
def test_a_token_of_no_time_is_refused(store, said):
    with pytest.raises(NotLoggedIn, match="KITE_LOGIN_TS"):
        kept(store, KITE_LOGIN_TS=said).token(MORNING)


@pytest.mark.parametrize(
    "said", ["2026-11-20T08:55:00+05:30", "2026-11-20 08:55:00", "2026-11-20T03:25:00Z"]
)
def test_the_time_of_login_may_be_written_in_several_ways(store, said):
    assert kept(store, KITE_LOGIN_TS=said).token(MORNING).login_at == MORNING


def test_a_token_of_the_future_is_refused(store):
    store.keep(TOKEN)
    assert store.token(MORNING - 60_000_000)
    with pytest.raises(NotLoggedIn, match="clock"):
        store.token(MORNING - HOUR)


@pytest.mark.parametrize("text", ["", "with space", "short", "semi;colon;semi"])
def test_what_is_no_token_is_refused(store, text):
    with pytest.raises(NotLoggedIn):
        kept(store, KITE_ACCESS_TOKEN=text).token(MORNING)


def test_nobody_logged_in(store):
    with pytest.raises(NotLoggedIn, match=r"python -m scripts\.login_kite"):
        store.token(MORNING)


def test_the_environment_comes_first_and_alone(tmp_path, store):
    store.keep(TOKEN)
    environment = {
        "KITE_API_KEY": "key1",
        "KITE_ACCESS_TOKEN": "another0token",
        "KITE_LOGIN_TS": "2026-11-20 08:00:00",
        "KITE_TOKEN_API_KEY": "key1",
    }
    other = TokenStore(store.folder, environment)
    assert other.token(MORNING).access_token.reveal() == "another0token"
    assert other.hidden_by_environment()
    del environment["KITE_TOKEN_API_KEY"]  # not taken from the file: it is another login's
    with pytest.raises(NotLoggedIn, match="the environment was made for an app"):
        other.token(MORNING)


def test_credentials_from_a_file(tmp_path):
    folder = tmp_path / "secrets"
    write_secret_file(folder / "kite.env", {"KITE_API_KEY": "k1", "KITE_API_SECRET": "s=1"}, "x")
    credentials = TokenStore(folder, {}).credentials()
    assert (credentials.api_key, credentials.api_secret.reveal()) == ("k1", "s=1")
    assert TokenStore(folder, {"KITE_API_KEY": "k2"}).api_key() == "k2"
    with pytest.raises(ConfigError, match="KITE_API_SECRET"):
        TokenStore(tmp_path / "empty", {"KITE_API_KEY": "k"}).credentials()
    with pytest.raises(ConfigError, match="marks"):
        TokenStore(folder, {"KITE_API_KEY": "k 2"}).api_key()


def test_how_a_file_of_secrets_may_be_written(tmp_path):
    folder = tmp_path / "s"
    path = folder / "kite.env"
    write_secret_file(path, {}, "x")

    def read(text):
        path.write_text(text, encoding="utf-8")
        return read_secret_file(path)

    assert read("# A=1\n\n export A = 'x y' \nB=\"q\"\nC=\n") == {"A": "x y", "B": "q", "C": ""}
    for text, said in (("A=1\nA=2", ":2: A is there twice"), ("hidden secret", ":1: is no line")):
        with pytest.raises(ConfigError) as caught:
            read(text)
        assert said in str(caught.value)
        assert "hidden" not in str(caught.value)
    path.write_bytes(b"A=\xff\xfe")
    with pytest.raises(ConfigError, match="UTF-8"):
        read_secret_file(path)
    path.write_bytes(b"A" * 70_000)
    with pytest.raises(ConfigError, match="too long"):
        read_secret_file(path)


def test_the_proof_of_the_secret():
    """The documented concatenation, nothing between."""
    said = hashlib.sha256(b"keyrequestsecret").hexdigest()
    assert checksum("key", "request", Secret("secret")) == said


# ── with the exchange ───────────────────────────────────────────────────────────────────────────


def logging_in(url, api_key="kitestring", secret="kitestring-secret", request_token="r" * 32):
    async def talk():
        settings = msgspec.structs.replace(local_settings(url), write_timeout_s=2.0)
        async with KiteHttp(settings) as http:
            credentials = Credentials(api_key=api_key, api_secret=Secret(secret))
            return await open_session(http, credentials, request_token)

    return talk()


def test_a_request_token_becomes_a_session_once():
    async def talk(stage):
        now = stage.exchange.clock.now()
        request_token = stage.exchange.sessions.request_token(now, "kitestring")
        token = await logging_in(stage.url, request_token=request_token)
        assert token.user_id == "KS0001"
        assert stage.exchange.sessions.find(now, "kitestring", token.access_token.reveal())
        assert ist(token.login_at).date() == dt.date(2026, 11, 20)
        with pytest.raises(NotLoggedIn, match=r"invalid or has expired[^$]*Start the login again"):
            await logging_in(stage.url, request_token=request_token)

    play(talk)


def test_a_wrong_secret_and_a_wrong_key_say_so():
    async def talk(stage):
        for changes, said in (
            ({"secret": "wrong-secret"}, "KITE_API_SECRET does not belong"),
            ({"api_key": "nobody"}, "refused the login"),
        ):
            asked = stage.exchange.sessions.request_token(stage.exchange.clock.now(), "kitestring")
            with pytest.raises(NotLoggedIn, match=said):
                await logging_in(stage.url, request_token=asked, **changes)

    play(talk)


SESSION = (
    '{"status":"success","data":{"user_id":"AB1234","api_key":"kitestring","login_time":'
    '"2026-11-20 08:55:00","access_token":"access0token","public_token":"p"}}'
)


@pytest.mark.parametrize(
    "answer",
    [
        raw(SESSION.replace('"kitestring"', '"another"')),
        raw(SESSION.replace("access0token", "x")),
        raw(SESSION.replace("access0token", "line\\nbreak0")),
        raw(SESSION.replace("2026-11-20 08:55:00", "")),
        raw(SESSION.replace("AB1234", "")),
        raw(SESSION, content_type="text/html"),
        raw(SESSION, status="201 Created"),
        raw('{"status":"success","data":null}'),
        raw("<html>", "502 Bad Gateway", "text/html"),
        raw("", "302 Found", more="Location: http://127.0.0.1:1/\r\n"),
        b"",
    ],
)
def test_an_answer_that_is_no_session_logs_nobody_in(answer):
    async def answered(request, writer, number):
        writer.write(answer)
        await writer.drain()
        writer.close()

    async def talk():
        async with served(answered) as (url, heard):
            with pytest.raises(NotLoggedIn):
                await logging_in(url)
            assert len(heard) == 1

    asyncio.run(talk())


def test_an_answer_that_is_one_does():
    async def answered(request, writer, number):
        writer.write(raw(SESSION))

    async def talk():
        async with served(answered) as (url, _):
            return await logging_in(url)

    assert asyncio.run(talk()).login_at == MORNING
