"""Firefox and WebKitGTK for the tests, by what each speaks natively: WebDriver BiDi, and WebDriver.

Nothing is downloaded, and there is no other driver: Firefox serves BiDi itself, and WebKitGTK comes with
WebKitWebDriver, which draws on a virtual screen (Xvfb).
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import AsyncIterator, Sequence
from contextlib import ExitStack, asynccontextmanager
from pathlib import Path
from typing import Any, Protocol

import httpx
import pytest
import trio
from trio_websocket import WebSocketConnection, open_websocket_url

SECONDS = 60.0  # far beyond what it takes, also on a machine with much else to do
KEYS = {"Enter": "\ue007", "Tab": "\ue004", "Escape": "\ue00c"}


class OtherBrowser(Protocol):
    """One page of a browser."""

    async def open(self, url: str) -> None:
        """Go to an address, and return when it is loaded."""

    async def run(self, function: str, *arguments: Any) -> Any:
        """Call a JavaScript function in the page; return what it, or its promise, gives."""

    async def press(self, *keys: str) -> None:
        """Press and release keys, one after the other, wherever the focus is."""

    async def wait(self, condition: str) -> None:
        """Return once a JavaScript expression is true."""


class _Page:
    """What both have in common."""

    async def run(self, function: str, *arguments: Any) -> Any:
        raise NotImplementedError

    async def wait(self, condition: str) -> None:
        with trio.move_on_after(SECONDS) as scope:
            while not await self.run(f"() => Boolean({condition})"):  # noqa: ASYNC110  # of another process
                await trio.sleep(0.05)
        if scope.cancelled_caught:
            text = await self.run("() => document.body.innerText")
            raise AssertionError(f"it did not come about: {condition}; the page: {text[:1000]}")


def program(*names: str, package: str) -> str:
    """Return the path of a program. Skips the test when there is none, except where all has to be tested."""
    found = next(filter(None, map(shutil.which, names)), None)
    if found is None:
        reason = f"there is no {names[0]}; install {package}"
        if os.environ.get("CI"):
            pytest.fail(reason)
        pytest.skip(reason)
    return found


class Firefox(_Page):
    def __init__(self, connection: WebSocketConnection) -> None:
        self._connection = connection
        self._number = 0
        self._context = ""

    async def start(self) -> None:
        await self._call("session.new", capabilities={})
        tree = await self._call("browsingContext.getTree", maxDepth=0)
        self._context = tree["contexts"][0]["context"]

    async def _call(self, method: str, **parameters: Any) -> Any:
        self._number += 1
        await self._connection.send_message(
            json.dumps({"id": self._number, "method": method, "params": parameters})
        )
        while True:
            answer = json.loads(await self._connection.get_message())
            if answer.get("id") == self._number:
                assert answer["type"] == "success", answer
                return answer["result"]

    async def open(self, url: str) -> None:
        await self._call("browsingContext.navigate", context=self._context, url=url, wait="complete")

    async def run(self, function: str, *arguments: Any) -> Any:
        result = await self._call(
            "script.callFunction",
            functionDeclaration=f"async (given) => JSON.stringify(await ({function})(...JSON.parse(given)))",
            arguments=[{"type": "string", "value": json.dumps(arguments)}],
            target={"context": self._context},
            awaitPromise=True,
            userActivation=True,
        )
        assert result["type"] == "success", result
        value = result["result"].get("value")
        return None if value is None else json.loads(value)

    async def press(self, *keys: str) -> None:
        actions = [
            {"type": kind, "value": KEYS.get(key, key)} for key in keys for kind in ("keyDown", "keyUp")
        ]
        await self._call(
            "input.performActions",
            context=self._context,
            actions=[{"type": "key", "id": "keyboard", "actions": actions}],
        )


class WebKit(_Page):
    def __init__(self, client: httpx.AsyncClient) -> None:
        self._client = client
        self._session = ""

    async def start(self) -> None:
        options = {"binary": minibrowser(), "args": ["--automation"]}
        capabilities = {"alwaysMatch": {"browserName": "MiniBrowser", "webkitgtk:browserOptions": options}}
        created = await self._call("POST", "/session", {"capabilities": capabilities})
        self._session = f"/session/{created['sessionId']}"
        await self._call("POST", "/timeouts", {"script": round(1000 * SECONDS)})

    async def end(self) -> None:
        if self._session:
            await self._call("DELETE", "")

    async def _call(self, method: str, path: str, body: Any = None) -> Any:
        answer = await self._client.request(method, self._session + path, json=body)
        assert answer.status_code == 200, answer.text
        return answer.json()["value"]

    async def open(self, url: str) -> None:
        await self._call("POST", "/url", {"url": url})

    async def run(self, function: str, *arguments: Any) -> Any:
        script = (
            f"const done = arguments[arguments.length - 1];"
            f"(async () => ({function})(...JSON.parse(arguments[0])))()"
            f".then((value) => done(JSON.stringify([value])), (error) => done(String(error)));"
        )
        text = await self._call("POST", "/execute/async", {"script": script, "args": [json.dumps(arguments)]})
        assert text.startswith("["), text
        return json.loads(text)[0]

    async def press(self, *keys: str) -> None:
        actions = [
            {"type": kind, "value": KEYS.get(key, key)} for key in keys for kind in ("keyDown", "keyUp")
        ]
        keyboard = {"type": "key", "id": "keyboard", "actions": actions}
        await self._call("POST", "/actions", {"actions": [keyboard]})


def minibrowser() -> str:
    """Return the path of WebKitGTK's test browser, which its driver starts."""
    found = sorted(Path("/usr/lib").glob("*/webkit2gtk-4.*/MiniBrowser"))
    return str(found[-1]) if found else program("MiniBrowser", package="webkit2gtk-driver")


# What a new profile does at its first start besides showing a page takes half of the test's processor time.
PREFERENCES: dict[str, bool | int | str] = {
    "app.normandy.enabled": False,
    "app.update.auto": False,
    "browser.aboutwelcome.enabled": False,
    "browser.newtab.preload": False,
    "browser.newtabpage.enabled": False,
    "browser.safebrowsing.blockedURIs.enabled": False,
    "browser.safebrowsing.downloads.enabled": False,
    "browser.safebrowsing.malware.enabled": False,
    "browser.safebrowsing.phishing.enabled": False,
    "browser.shell.checkDefaultBrowser": False,
    "browser.startup.homepage_override.mstone": "ignore",
    "browser.startup.page": 0,
    "datareporting.healthreport.uploadEnabled": False,
    "datareporting.policy.dataSubmissionEnabled": False,
    "dom.ipc.processPrelaunch.enabled": False,
    "extensions.getAddons.cache.enabled": False,
    "extensions.systemAddon.update.enabled": False,
    "media.gmp-manager.updateEnabled": False,
    "network.captive-portal-service.enabled": False,
    "network.connectivity-service.enabled": False,
    "services.settings.server": "data:,#remote-settings-dummy/v1",
    "toolkit.telemetry.enabled": False,
    "toolkit.telemetry.server": "data:,",
    "toolkit.telemetry.unified": False,
}


@asynccontextmanager
async def firefox() -> AsyncIterator[OtherBrowser]:
    """Firefox without a window, with a profile of its own."""
    command = program("firefox-esr", "firefox", package="firefox-esr")
    with ExitStack() as stack:
        profile = stack.enter_context(
            tempfile.TemporaryDirectory(prefix="firefox-", ignore_cleanup_errors=True)
        )
        _write_preferences(Path(profile))
        process = stack.enter_context(
            _running(
                [command, "--headless", "--no-remote", "--profile", profile, "--remote-debugging-port", "0"],
                {**os.environ, "HOME": profile},
            )
        )
        line = await _line(process, b"WebDriver BiDi listening on ")
        url = line.rpartition(" ")[2] + "/session"
        async with open_websocket_url(url, max_message_size=8 * 1024**2) as connection:
            page = Firefox(connection)
            with trio.fail_after(SECONDS):
                await page.start()
            yield page


def _write_preferences(profile: Path) -> None:
    lines = [f'user_pref("{name}", {json.dumps(value)});\n' for name, value in PREFERENCES.items()]
    (profile / "user.js").write_text("".join(lines))


@asynccontextmanager
async def webkit() -> AsyncIterator[OtherBrowser]:
    """WebKitGTK's MiniBrowser, on a screen of its own."""
    driver = program("WebKitWebDriver", package="webkit2gtk-driver")
    xvfb = program("Xvfb", package="xvfb")
    with ExitStack() as stack:
        home = stack.enter_context(tempfile.TemporaryDirectory(prefix="webkit-", ignore_cleanup_errors=True))
        reading, writing = os.pipe()
        screen = ["-displayfd", str(writing), "-screen", "0", "1280x800x24", "-nolisten", "tcp"]
        try:
            stack.enter_context(_running([xvfb, *screen], dict(os.environ), keep=[writing]))
        finally:
            os.close(writing)
        with open(reading) as announced:  # noqa: ASYNC230  # a pipe; it is read in a thread
            display = await trio.to_thread.run_sync(announced.readline)
        environment = {
            **os.environ,
            "DISPLAY": f":{display.strip()}",
            "HOME": home,
            "XDG_RUNTIME_DIR": home,
            "WEBKIT_DISABLE_SANDBOX_THIS_IS_DANGEROUS": "1",  # the page is our own, and containers have none
            "LIBGL_ALWAYS_SOFTWARE": "1",
            "NO_AT_BRIDGE": "1",
        }
        port = _free_port()
        stack.enter_context(_running([driver, f"--port={port}", "--host=127.0.0.1"], environment))
        async with httpx.AsyncClient(
            base_url=f"http://127.0.0.1:{port}", timeout=SECONDS, trust_env=False
        ) as client:
            await _until_listening(client)
            page = WebKit(client)
            try:
                await page.start()
                yield page
            finally:
                with trio.move_on_after(5, shield=True):
                    await page.end()


def _free_port() -> int:
    from liveserver.cluster.redis_server import free_port

    return free_port()


async def _until_listening(client: httpx.AsyncClient) -> None:
    with trio.fail_after(SECONDS):
        while True:
            try:
                await client.get("/status")
            except httpx.HTTPError:
                await trio.sleep(0.05)
            else:
                return


async def _line(process: subprocess.Popen[bytes], beginning: bytes) -> str:
    """Return the first line with this beginning that a process writes to its standard error."""
    assert process.stderr is not None
    with trio.fail_after(SECONDS):
        while True:
            line = await trio.to_thread.run_sync(process.stderr.readline, abandon_on_cancel=True)
            assert line, f"it ended by itself with {process.poll()}"
            if line.startswith(beginning):
                return line.decode().strip()


class _running:  # noqa: N801  # a context manager
    """A process that is ended, with all that it has started, at the end of the block."""

    def __init__(self, command: Sequence[str], environment: dict[str, str], keep: Sequence[int] = ()) -> None:
        self._process = subprocess.Popen(
            command,
            env=environment,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE if "--remote-debugging-port" in command else subprocess.DEVNULL,
            pass_fds=keep,
            start_new_session=True,
        )

    def __enter__(self) -> subprocess.Popen[bytes]:
        return self._process

    def __exit__(self, *_: object) -> None:
        import signal

        for number in (signal.SIGTERM, signal.SIGKILL):
            try:
                os.killpg(self._process.pid, number)
                self._process.wait(5)
            except (ProcessLookupError, subprocess.TimeoutExpired):
                continue
        self._process.wait()
        if self._process.stderr is not None:
            self._process.stderr.close()
