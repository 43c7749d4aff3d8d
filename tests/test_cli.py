"""What a person types, and what comes back: one line when it is wrong, and the right exit code."""

from __future__ import annotations

import io
import subprocess
import sys
import time
import tomllib
from pathlib import Path

import httpx
import msgspec
import pytest
import trio
import trio.testing

from liveserver import __version__, config
from liveserver.auth import tokens
from liveserver.auth.keys import Key, read_public_key
from liveserver.cli import error_report, main
from liveserver.cli.publish import PublishProgress
from liveserver.cli.watch import Recent, describe
from liveserver.client import Bye, Disconnected, Event, Gap, Omitted, Ready, Viewers
from liveserver.client.items import to_json
from liveserver.config.render import render
from liveserver.errors import ConfigError, LiveserverError
from tests.auth.harness import PrivateKey, ec_key, ed_key, pem, private_pem, rsa_key
from tests.client.fakes import Servers, answer, bye, like, problem, ready, stream

COMMANDS = ("run", "cluster", "publish", "watch", "top", "token", "check")


def call(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int | str | None, str, str]:
    """Exit code, standard output, standard error."""
    with pytest.raises(SystemExit) as caught:
        main(arguments)
    return caught.value.code, *capsys.readouterr()


@pytest.mark.parametrize("command", COMMANDS)
def test_every_help_has_an_example(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = call(capsys, command, "--help")
    assert code == 0
    assert f"Example:\n    liveserver {command} " in out
    assert "--until-eof" not in out


def test_without_a_command_there_is_help_and_a_beginning(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = call(capsys)
    assert code == 0
    assert "Begin with: liveserver run" in out
    assert all(command in out for command in COMMANDS)


def test_the_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert call(capsys, "--version") == (0, f"liveserver {__version__}\n", "")


def test_help_is_quick_for_it_imports_nothing_slow() -> None:
    slow = ["trio", "httpx", "redis", "hypercorn", "quart"]
    script = f"import liveserver.cli, sys; print([name for name in {slow} if name in sys.modules])"
    ran = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert ran.stdout == "[]\n"


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["walk"], "liveserver: No such command 'walk'; liveserver --help shows how"),
        (["run", "--now"], "liveserver run: No such option: --now"),
        (["run", "--workers", "many"], "liveserver run: Invalid value for '--workers'"),
        (["watch"], "liveserver watch: Missing argument 'URL'"),
        (["watch", "127.0.0.1:8000", "v1"], "is not like http://127.0.0.1:8000"),
        (["publish", "http://127.0.0.1:1", "v1", "--data", "{heart}"], "is not JSON"),
        (["publish", "http://127.0.0.1:1", "v1", "--rate", "0"], "--rate: is events a second, more than 0"),
        (["publish", "http://127.0.0.1:1", "v1", "--count", "0"], "--count: is at least 1"),
        (["check", "--config", "nowhere.toml"], "nowhere.toml: cannot be read: No such file"),
        (["run", "--config", "nowhere.toml"], "nowhere.toml: cannot be read: No such file"),
        (["cluster", "--config", "nowhere.toml"], "nowhere.toml: cannot be read: No such file"),
        (["run", "--set", "frontend.lease=soon"], "--set frontend.lease=soon: frontend.lease: 'soon' is not"),
        (["run", "--role", "cook"], "node.roles[0]: 'cook' is not one of"),
        (["run", "--role", "frontend"], "frontend.dispatchers: is empty"),
        (["run", "--workers", "2"], 'more than one needs bus.kind = "redis"'),
    ],
)
def test_invalid_usage_is_one_line_and_exit_code_2(
    arguments: list[str], complaint: str, capsys: pytest.CaptureFixture[str]
) -> None:
    code, out, err = call(capsys, *arguments)
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert complaint in err


def test_check_says_where_the_wrong_value_was_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "mine.toml"
    path.write_text('[frontend]\nlease = "soon"\n')
    assert f"{path}: frontend.lease: 'soon'" in call(capsys, "check", "--config", str(path))[2]
    monkeypatch.setenv("LIVESERVER_FRONTEND__LEASE", "later")
    assert (
        "environment variable LIVESERVER_FRONTEND__LEASE: frontend.lease: 'later'" in call(capsys, "check")[2]
    )


def test_check_prints_what_run_would_read_back_to_the_same(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = call(capsys, "check", "--role", "dispatcher", "--set", "edge.max_body=7MiB")
    assert code == 0
    assert "is right" in err
    assert 'roles = ["dispatcher"]' in out
    assert [line.split() for line in out.splitlines() if "max_body " in line] == [
        ["max_body", "=", '"7MiB"', "#", "default:", '"4MiB"']
    ]
    assert config.convert(tomllib.loads(out), config.Settings) == config.load(
        None, ['node.roles=["dispatcher"]', "edge.max_body=7MiB"], {}
    )


def test_check_knows_a_cluster_too(capsys: pytest.CaptureFixture[str]) -> None:
    path = Path(__file__).parent.parent / "config" / "cluster.toml"
    code, out, _ = call(capsys, "check", "--config", str(path))
    assert code == 0
    assert "dc1-fe1" in out


def test_all_the_roles_are_those_that_run_plays_by_itself(capsys: pytest.CaptureFixture[str]) -> None:
    assert call(capsys, "check", "--role", "all")[1] == render(config.Settings()) + "\n"


@pytest.mark.parametrize(
    ("error", "code", "text"),
    [
        (ConfigError("a.b", "is wrong"), 2, "liveserver: a.b: is wrong"),
        (LiveserverError("no"), 1, "liveserver: no"),
        (
            BaseExceptionGroup("", [trio.Cancelled._create(), ExceptionGroup("", [LiveserverError("no")])]),
            1,
            "liveserver: no",
        ),
        (ExceptionGroup("", [KeyError("x"), LiveserverError("no")]), 1, "liveserver: no"),
        (FileNotFoundError(2, "No such file", "/x"), 1, "liveserver: /x: No such file"),
        (KeyboardInterrupt(), 130, ""),
        (BrokenPipeError(), 1, ""),
        (KeyError("x"), 1, "KeyError: 'x'; LIVESERVER_TRACEBACK=1 shows where; please report it"),
    ],
)
def test_whatever_happens_there_is_one_line_for_it(error: BaseException, code: int, text: str) -> None:
    complaint = error_report.explain(error)
    assert complaint.code == code
    assert text in complaint.text
    assert "\n" not in complaint.text


def with_servers(monkeypatch: pytest.MonkeyPatch, servers: Servers) -> None:
    monkeypatch.setattr(httpx, "AsyncClient", lambda: servers.client)


def test_publishing_one_says_what_became_of_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    servers = Servers(answer({"accepted": 1, "duplicates": 0, "cursor": "dc1-a-1"}))
    with_servers(monkeypatch, servers)
    arguments = ["--type", "comment", "--user", "u1", "--data", '{"text":"hi"}']
    code, out, _ = call(capsys, "publish", "http://a", "v1", *arguments)
    assert code == 0
    assert out.startswith("1 accepted; answered within ")
    assert out.endswith("\ncursor dc1-a-1\n")
    [event] = servers.asked[0].body
    assert event.pop("id")
    assert event == {"type": "comment", "user": "u1", "data": {"text": "hi"}}


def test_publishing_what_is_refused_is_exit_code_1(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with_servers(monkeypatch, Servers(problem(400, "a type has 1 to 32 letters")))
    code, out, err = call(capsys, "publish", "http://a", "v1", "--type", "No")
    assert (code, out) == (1, "")
    assert err == "liveserver: http://a/v1/videos/v1/events: 400: a type has 1 to 32 letters\n"


async def test_publishing_at_a_rate_keeps_to_it(
    monkeypatch: pytest.MonkeyPatch, autojump_clock: trio.testing.MockClock
) -> None:
    servers = Servers(*[answer({"accepted": 1, "duplicates": 0, "cursor": "dc1-a-9"})] * 9)
    with_servers(monkeypatch, servers)
    run = PublishProgress("http://a", "v1", {"type": "like"}, rate=2, count=9)
    began = trio.current_time()
    await run.go()
    assert [asked.at - began for asked in servers.asked] == pytest.approx([number / 2 for number in range(9)])
    assert run.summary().startswith("9 accepted in 4.0 s, 2/s; answered within ")


async def test_at_a_high_rate_a_request_carries_many(
    monkeypatch: pytest.MonkeyPatch, autojump_clock: trio.testing.MockClock
) -> None:
    servers = Servers(*[answer({"accepted": 200, "duplicates": 0, "cursor": "dc1-a-9"})] * 200)
    with_servers(monkeypatch, servers)
    await PublishProgress("http://a", "v1", {"type": "like"}, rate=10_000, count=10_000).go()
    assert sum(len(asked.body) for asked in servers.asked) == 10_000
    assert len(servers.asked) < 60


def test_watching_writes_a_line_per_event(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with_servers(monkeypatch, Servers(stream(ready(1), like(2) + like(3), bye(3, reconnect=False))))
    code, out, err = call(capsys, "watch", "http://a", "v1")
    assert code == 0
    assert [line.split()[1:] for line in out.splitlines()] == [["like", "-"], ["like", "-"]]
    assert err.splitlines() == ["-- connected to fe1 at dc1-k3f9a-1", "-- the server said bye: drain"]


def test_watching_can_write_json(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    servers = Servers(stream(ready(1), like(2), bye(2, reconnect=False)))
    with_servers(monkeypatch, servers)
    _, out, _ = call(capsys, "watch", "http://a", "v1", "--json", "--types", "like,comment", "--rate", "5")
    assert servers.asked[0].query == {"types": "like,comment", "rate": "5"}
    lines = [msgspec.json.decode(line) for line in out.splitlines()]
    assert [line["event"] for line in lines] == ["ready", "like", "bye"]
    assert lines[1] == {
        "cursor": "dc1-k3f9a-2",
        "event": "like",
        "data": {"id": "e2", "video": "v1", "type": "like", "at": 1763862000002},
    }


def test_a_pipe_that_is_closed_is_no_error(monkeypatch: pytest.MonkeyPatch) -> None:
    class Closed(io.StringIO):
        def write(self, text: str) -> int:
            raise BrokenPipeError

    with_servers(monkeypatch, Servers(stream(ready(1), like(2))))
    monkeypatch.setattr(sys, "stdout", Closed())
    monkeypatch.setattr(sys, "stderr", (errors := io.StringIO()))
    with pytest.raises(SystemExit):
        main(["watch", "http://a", "v1"])
    assert errors.getvalue() == "-- connected to fe1 at dc1-k3f9a-1\n"


def test_without_standard_output_a_command_ends_as_it_would_with_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdout", None)  # closed before the start
    with pytest.raises(SystemExit) as ended:
        main(["--version"])
    assert ended.value.code == 0


def test_nothing_a_viewer_wrote_controls_the_terminal() -> None:
    line = describe(Event("e1", "v1", "comment", "\x1b[2J\r\n", 0, {"text": "\x1b]0;x\x07\x9b"}, None))
    assert line.isprintable()


@pytest.mark.parametrize(
    ("item", "line"),
    [
        (Ready("dc1-a-1", "fe1", resumed=True), "-- connected to fe1 at dc1-a-1, resumed"),
        (Gap("dc1-a-1"), "-- gap: events before the next one are gone"),
        (Viewers(1, 2, 3), "-- 3 watching, 1 of them here"),
        (Omitted(7, "dc1-a-1"), "-- 7 comments left out"),
        (Bye("drain"), "-- the server said bye: drain"),
        (Disconnected("reset", "http://b", 1.25), "-- disconnected: reset; trying http://b in 1.2 s"),
    ],
)
def test_watch_reports_connection_changes(
    item: Ready | Gap | Viewers | Omitted | Bye | Disconnected, line: str
) -> None:
    assert describe(item) == line
    assert (to_json(item) is None) == isinstance(item, Disconnected)


def test_the_status_line_looks_at_the_last_seconds() -> None:
    now = 100.0
    recent = Recent(lambda: now)
    assert (recent.rate(), recent.delay()) == (0, None)
    for late in (0.01, 0.02, 0.5):
        recent.add(Event("e", "v1", "like", at=int((now - late) * 1000)))
    assert recent.rate() == pytest.approx(3 / 5)
    assert recent.delay() == pytest.approx(0.02, abs=0.002)
    now += 6
    assert (recent.rate(), recent.delay(), recent.total) == (0, None, 3)


def test_a_token_is_good_where_its_secret_is(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    secret = tmp_path / "viewers.secret"
    secret.write_text("the-viewers-secret-of-at-least-32-bytes\n")
    words = ["--video", "concert-*", "--user", "ada", "--for", "30m", "--scope", "watch"]
    code, out, _ = call(capsys, "token", *words, "--secret-file", str(secret))
    assert code == 0
    claims = tokens.verify(out.strip(), [Key("HS256", b"the-viewers-secret-of-at-least-32-bytes")])
    assert (claims.videos, claims.sub, claims.scope) == (["concert-*"], "ada", "watch")
    assert claims.exp is not None
    assert 1500 < claims.exp - time.time() <= 1800
    named = ["--set", f"auth.secret_file={secret}", "--set", "auth.audience=live"]
    code, out, _ = call(capsys, "token", "--video", "v", *named)
    assert (
        tokens.verify(out.strip(), [Key("HS256", b"the-viewers-secret-of-at-least-32-bytes")]).aud == "live"
    )


@pytest.mark.parametrize(
    ("key", "algorithm"), [(ed_key(), "EdDSA"), (ec_key(), "ES256"), (rsa_key(), "RS256")]
)
def test_a_token_may_be_signed_with_a_private_key(
    key: PrivateKey, algorithm: str, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    private, public = tmp_path / "key.pem", tmp_path / "public.pem"
    private.write_bytes(private_pem(key))
    public.write_bytes(pem(key))
    code, out, _ = call(capsys, "token", "--video", "v", "--private-key-file", str(private), "--kid", "k1")
    assert code == 0
    assert tokens.header_of(out.strip()) == tokens.Header(algorithm, "k1")
    claims = tokens.verify(out.strip(), [read_public_key("auth.public_key_file", str(public))])
    assert (claims.videos, len(claims.jti or "")) == (["v"], 16)


def test_a_key_is_long_and_another_each_time(capsys: pytest.CaptureFixture[str]) -> None:
    keys = {call(capsys, "token", "--key")[1].strip() for _ in range(3)}
    assert len(keys) == 3
    assert all(len(key) >= 40 for key in keys)


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        ([], "--video: is missing"),
        (["--video", "v"], "auth.secret: there is no secret to sign with"),
        (["--video", "v", "--for", "soon"], "--for: 'soon' is not a duration"),
        (["--video", "a*b", "--secret-file", "s"], "a string of the form"),
        (["--video", "v", "--scope", "fly", "--secret-file", "s"], "there is no scope 'fly'"),
        (["--video", "v", "--secret-file", "nowhere"], "nowhere cannot be read"),
        (["--video", "v", "--private-key-file", "nowhere"], "nowhere cannot be read"),
        (["--video", "v", "--private-key-file", "s"], "s is not a PEM private key"),
        (
            ["--video", "v", "--private-key-file", "s", "--secret-file", "s"],
            "--secret-file: cannot be used together",
        ),
        (["--video", "v", "--set", "auth.secret=hush-hush"], "auth.secret: is too short"),
    ],
)
def test_a_token_that_cannot_be_made(
    arguments: list[str],
    complaint: str,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "s").write_text("the-viewers-secret-of-at-least-32-bytes")
    code, out, err = call(capsys, "token", *arguments)
    assert (code, out) == (2, "")
    assert complaint in err
    assert "hush-hush" not in err
    assert len(err.splitlines()) == 1


def test_a_wrong_secret_is_not_repeated(capsys: pytest.CaptureFixture[str]) -> None:
    code, _, err = call(capsys, "check", "--set", "auth.secret=")
    assert code == 2
    assert "auth.secret=…" in err


@pytest.mark.parametrize(
    "setting",
    [
        "bus.url=redis://u:hunter2@localhost:6379/0",
        "bus.url=redis://u:hun@ter2:hunter2@localhost:6379/0",
        "bus.url=redis+sentinel://:x@localhost/mymaster?sentinel_password=hunter2",
        "bus.url=redis://u:hunter2@localhost:port/0",
        "bus.urll=redis://u:hunter2@localhost/0",
        "bus.timeout=redis://u:hunter2@localhost/0",
        "backend.database=postgresql://u:hunter2@localhost/x",
        "backend.databas=postgresql://u:hunter2@localhost/x",
    ],
)
def test_no_password_of_a_url_is_printed(setting: str, capsys: pytest.CaptureFixture[str]) -> None:
    _, out, err = call(capsys, "check", "--set", "bus.kind=redis", "--set", setting)
    assert out + err
    assert "hunter2" not in out + err
