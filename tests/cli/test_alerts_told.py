"""Alerts as a user sets them up: the settings, the test command, and a paper day that tells."""

import json
import sqlite3
import time

import pytest
from alert_receivers import HANGS, KEEPS, program, receiver
from answered_days import ask, trade

from kitestring.cli.alert_settings import alert_channels
from kitestring.cli.config import parse_config
from kitestring.domain.errors import ConfigError
from kitestring.engine.alert_channels import (
    CommandChannel,
    Secret,
    TelegramChannel,
    WebhookChannel,
)
from kitestring.engine.alerts import AlertKind
from kitestring.engine.day_alerts import TOLD_FILE

TOKEN = "KITESTRING_TELEGRAM_TOKEN"
CANARY = "731:canary-of-a-token"
ALL = """\
alerts:
  command:
    run: [notify-send, Kitestring]
    kinds: [halt, day_summary]
    deadline_s: 3
  webhook:
    url: https://hooks.example.invalid/kitestring
    kinds: day summary
  telegram:
    chat: -1001
"""


def read(text):
    return parse_config(text, "my.yaml")


def test_the_section_says_which_kinds_go_where():
    alerts = read(ALL).alerts
    command, webhook, telegram = alert_channels(alerts, {TOKEN: CANARY})
    assert command == CommandChannel(
        run=("notify-send", "Kitestring"),
        kinds=frozenset({AlertKind.HALT, AlertKind.DAY_SUMMARY}),
        deadline_s=3.0,
    )
    assert webhook.url.reveal() == "https://hooks.example.invalid/kitestring"
    assert webhook.kinds == {AlertKind.DAY_SUMMARY}
    assert (telegram.chat, telegram.token.reveal()) == ("-1001", CANARY)
    assert telegram.api_root == "https://api.telegram.org"
    assert telegram.kinds == set(AlertKind)
    assert CANARY not in repr((alerts, command, webhook, telegram))


def test_alerts_are_off_by_default_and_make_no_other_run():
    assert alert_channels(read("").alerts, {}) == ()
    assert read(ALL).config.digest == read("").config.digest


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("comand: {run: [a]}", "alerts does not know comand; did you mean command?"),
        ("command: {run: notify-send}", "alerts.command.run must be a list"),
        ("command: {}", "alerts.command.run must be a list"),
        ("command: {run: [a], kinds: [hlat]}", "kinds does not know hlat; did you mean halt?"),
        ("command: {run: [a], kinds: []}", "alerts.command.kinds is empty"),
        ("command: {run: [a], deadline_s: 0}", "deadline_s must be a number above zero; it is 0"),
        ("command: {run: [a], deadline_s: 90}", "deadline_s must be at most 60 seconds"),
        ("webhook: {}", "alerts.webhook needs `url:`, or `url_env:`"),
        ("webhook: {url: http://example.invalid/x}", "url must begin with https://; plain http"),
        ("webhook: {url: ftp://example.invalid}", "url is no web address"),
        ("webhook: {url: https://me:pw@example.invalid}", "url must not hold a user or password"),
        ("webhook: {url: https://example.invalid/?k=v}", "url has a query, which is often a secret"),
        ("webhook: {url_env: 'my hook'}", "url_env must be the name of a variable"),
        ("telegram: {}", "alerts.telegram.chat must be the number of your chat"),
        ("telegram: {chat: 1, token: 731:abc}", "token is a credential"),
        ("telegram: {chat: 1, api_root: http://example.invalid}", "api_root must begin with https"),
    ],
)  # fmt: skip
def test_a_mistake_is_named_with_its_line(text, sentence):
    with pytest.raises(ConfigError) as caught:
        read(f"alerts:\n  {text}\n")
    assert "my.yaml:2: alerts" in str(caught.value)
    assert sentence in str(caught.value)


def test_secrets_come_from_the_environment_or_a_file_of_the_users_own(tmp_path):
    alerts = read("alerts:\n  telegram: {chat: 1}\n  webhook: {url_env: MY_HOOK}\n").alerts
    path = tmp_path / "alerts.env"
    with pytest.raises(ConfigError, match=r"alerts\.webhook needs MY_HOOK, and it is neither"):
        alert_channels(alerts, {}, path)
    path.write_text(f"# mine\n{TOKEN}='{CANARY}'\nMY_HOOK=https://example.invalid/{CANARY}\n")
    path.chmod(0o644)
    with pytest.raises(ConfigError, match="can be read by others"):
        alert_channels(alerts, {}, path)
    path.chmod(0o600)
    webhook, telegram = alert_channels(alerts, {}, path)
    assert webhook.url.reveal() == f"https://example.invalid/{CANARY}"
    assert telegram.token.reveal() == CANARY
    with pytest.raises(ConfigError) as caught:
        alert_channels(alerts, {"MY_HOOK": f"http://example.invalid/{CANARY}"}, path)
    assert CANARY not in str(caught.value)
    with pytest.raises(ConfigError) as caught:
        alert_channels(alerts, {TOKEN: f"{CANARY} "}, path)
    assert CANARY not in str(caught.value)


def test_the_test_command_sends_one_of_each_and_says_what_happened(tmp_path, monkeypatch):
    monkeypatch.setenv(TOKEN, CANARY)
    out, path = tmp_path / "out", tmp_path / "my.yaml"
    run = json.dumps(program(tmp_path, KEEPS.format(out=str(out))))
    with receiver() as hook, receiver(status=404) as telegram:
        path.write_text(
            f"alerts:\n  command: {{run: {run}, kinds: [halt, fill]}}\n"
            f"  webhook: {{url: {hook.root}}}\n"
            f"  telegram: {{chat: 1, api_root: {telegram.root}}}\n"
        )
        code, said, wrong = ask("alerts", "test", "--config", path)
    assert (code, wrong) == (1, "")
    assert said.splitlines() == [
        "command   delivered: fill, halt",
        f"webhook   delivered: {', '.join(AlertKind)}",
        f"telegram  NOT delivered: it answered 404; is {TOKEN} the bot's token?",
    ]
    assert [kind for kind, _ in hook.alerts] == list(AlertKind)
    assert "HALT: A test: nothing has happened." in json.loads(out.read_text())[1]
    assert telegram.heard[0][0] == f"/bot{CANARY}/sendMessage"


def test_the_test_command_without_alerts_says_where_to_read(tmp_path):
    path = tmp_path / "my.yaml"
    path.write_text("")
    assert ask("alerts", "test", "--config", path) == (
        0, f"{path} configures no alerts; docs/Paper.md says how.\n", "",
    )  # fmt: skip
    path.write_text("alerts:\n  telegram: {chat: 1}\n")
    code, _, wrong = ask("alerts", "test", "--config", path)
    assert code == 2
    assert f"alerts.telegram needs {TOKEN}" in wrong


def test_a_day_whose_alerts_lack_a_secret_does_not_start(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv(TOKEN, raising=False)
    path = tmp_path / "my.yaml"
    path.write_text("alerts:\n  telegram: {chat: 1}\n")
    code, _, wrong = ask("day", "--config", path, "--artifacts", tmp_path / "artifacts")
    assert code == 2
    assert f"alerts.telegram needs {TOKEN}" in wrong
    assert not (tmp_path / "artifacts").exists()


def facts(artifacts):
    """The journal of the one run there is, byte for byte."""
    (run,) = (artifacts / "runs").iterdir()
    with sqlite3.connect(run / "journal.sqlite") as database:
        dump = "\n".join(database.iterdump())
    database.close()
    return dump


def test_a_paper_day_tells_and_its_record_is_the_same_as_untold(tmp_path):
    told, untold = tmp_path / "told", tmp_path / "untold"
    with receiver() as hook, receiver() as telegram:
        result = trade(
            told,
            alerts=(
                WebhookChannel(url=Secret(hook.root)),
                TelegramChannel(
                    chat="1",
                    token=Secret(CANARY),
                    api_root=telegram.root,
                    kinds=frozenset({AlertKind.DAY_SUMMARY}),
                ),
            ),
        )
    plain = trade(untold)
    assert (result.net, result.fills, result.notes) == (plain.net, plain.fills, plain.notes)
    assert facts(told) == facts(untold)
    kinds = [kind for kind, _ in hook.alerts]
    assert kinds[0] == "alive"
    assert kinds[-1] == "day summary"
    assert sum(
        alert["count"] for _, rows in hook.heard for alert in rows["alerts"]
        if alert["kind"] == "fill"
    ) == result.fills > 3  # fmt: skip
    ((_, rows),) = telegram.heard
    assert rows["text"].startswith("Kitestring paper 2026-11-20\nDAY SUMMARY: Net ")
    for file in told.rglob("*"):
        assert file.is_dir() or CANARY.encode() not in file.read_bytes()


def test_an_interrupted_day_tells_each_fill_once(tmp_path):
    with receiver() as hook:
        way = (WebhookChannel(url=Secret(hook.root)),)
        first = trade(tmp_path, stop_after=310, alerts=way)
        assert first.interrupted
        last = trade(tmp_path, alerts=way)
    assert last.resumed
    counts = {}
    for _, rows in hook.heard:
        for alert in rows["alerts"]:
            counts[alert["kind"]] = counts.get(alert["kind"], 0) + alert["count"]
    assert counts["fill"] == last.fills
    assert (counts["alive"], counts["day summary"]) == (1, 1)
    (run,) = (tmp_path / "runs").iterdir()
    assert set(json.loads((run / TOLD_FILE).read_bytes())) == {"webhook"}


def test_a_hanging_command_and_webhook_do_not_slow_the_day(tmp_path):
    (tmp_path / "programs").mkdir()
    run = program(tmp_path / "programs", HANGS.format(out=str(tmp_path / "pids")))
    with receiver(hang=True) as hook:
        alerts = (
            CommandChannel(run=run, deadline_s=1.0),
            WebhookChannel(url=Secret(hook.root), deadline_s=1.0),
        )
        passed = Passed()
        result = trade(tmp_path / "hung", alerts=alerts, watcher=passed)
    plain = Passed()
    trade(tmp_path / "plain", watcher=plain)
    # Without the moment it gives its last alerts: waiting for each in turn would take many seconds.
    assert passed.took < plain.took + 1.5
    assert [note.partition(":")[0] for note in result.notes] == [
        "alerts by command", "alerts by webhook",
    ]  # fmt: skip
    assert "not delivered: it did not end within 1 s and was killed" in result.notes[0]
    assert "not delivered: no answer within 1 s" in result.notes[1]


class Passed:
    """How long the day's own loop took."""

    def started(self, day):
        self.began = time.perf_counter()

    def progress(self, *args):
        self.took = time.perf_counter() - self.began

    def said(self, fact):
        self.took = time.perf_counter() - self.began

    def finished(self, result):
        pass
