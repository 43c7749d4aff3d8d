"""Take the dashboard's pictures anew, on a quiet machine: after two minutes of viewers, likes and comments.

    python docs/take_pictures.py                       # into liveserver/ops/pictures
    python docs/take_pictures.py --into /tmp --seconds 20

First one node with all roles, as `make run` starts it: `desktop-dark.png` and `phone-light.png`. Then a
cluster of two frontends, a dispatcher and a likes backend on Redis: `cluster-light.png`. Needs Chromium and
redis-server.
"""

from __future__ import annotations

import argparse
import random
import subprocess
import sys
import tempfile
from pathlib import Path

import httpx
import trio
from playwright.sync_api import Browser, Page

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT))

from liveserver.cluster.redis_server import RedisServer, free_port  # noqa: E402
from tests.processes import NodeProcess  # noqa: E402
from tests.web.browsers import running_browser  # noqa: E402

# video: viewers at each frontend, likes a second, comments a second
VIDEOS = {"concert": (300, 30.0, 2.0), "match": (120, 12.0, 1.0), "talk": (30, 2.0, 0.3)}
REACTIONS = ["heart", "heart", "heart", "star", "fire", "wow", "laugh"]
WORDS = ["Hello from Lyon!", "What a night", "Louder!", "Again, please", "Is this the last one?"]


async def put_load(backend: str, frontends: list[str]) -> None:
    """Watch, like and comment until the process is ended."""
    async with trio.open_nursery() as nursery, httpx.AsyncClient(trust_env=False, timeout=10) as client:
        for video, (viewers, likes, comments) in VIDEOS.items():
            where = f"{backend}/v1/videos/{video}"
            for url in frontends:
                for _ in range(viewers):
                    nursery.start_soon(_watch, url, video)
            nursery.start_soon(_post, client, f"{where}/likes", likes)
            nursery.start_soon(_post, client, f"{where}/comments", comments)
        await trio.sleep_forever()


async def _watch(url: str, video: str) -> None:
    host, _, port = url.removeprefix("http://").partition(":")
    await trio.sleep(random.uniform(0, 5))
    async with await trio.open_tcp_stream(host, int(port)) as stream:
        request = f"GET /v1/videos/{video}/events HTTP/1.1\r\nhost: {host}:{port}\r\n\r\n"
        await stream.send_all(request.encode())
        while await stream.receive_some(65536):
            pass


async def _post(client: httpx.AsyncClient, url: str, rate: float) -> None:
    while True:
        await trio.sleep(random.expovariate(rate))
        body: dict[str, str] = {"user": f"viewer-{random.randrange(500)}"}
        if url.endswith("likes"):
            body["reaction"] = random.choice(REACTIONS)
        else:
            body["text"] = random.choice(WORDS)
        (await client.post(url, json=body)).raise_for_status()


def opened(browser: Browser, url: str, width: int, height: int, scheme: str) -> Page:
    """Open a dashboard. Its charts begin here."""
    size = {"width": width, "height": height}
    page = browser.new_page(viewport=size, color_scheme=scheme)  # type: ignore[arg-type]
    page.goto(url)
    return page


def take(page: Page, path: Path) -> None:
    """Write the picture of the whole page."""
    page.screenshot(path=path, full_page=True)
    print(path)


def started(*nodes: NodeProcess) -> None:
    """Start them, and wait until they are ready."""
    for node in nodes:
        node.start()
    for node in nodes:
        trio.run(node.wait_ready)


def load(backend: NodeProcess, *frontends: NodeProcess) -> subprocess.Popen[bytes]:
    """Begin the load, in a process of its own."""
    command = [sys.executable, __file__, "--load", backend.url, *(node.url for node in frontends)]
    return subprocess.Popen(command)


def one_node(browser: Browser, into: Path, scratch: Path, seconds: float) -> None:
    """Take the pictures of a node."""
    database = f"backend.database={scratch / 'one.db'}"
    node = NodeProcess(
        "dc1-all", 'frontend","dispatcher","backend', "redis://unused", "bus.kind=memory", database
    )
    started(node)
    clients = load(node, node)
    try:
        desktop = opened(browser, node.ops_url, 1280, 900, "dark")
        phone = opened(browser, node.ops_url, 390, 844, "light")
        phone.wait_for_timeout(seconds * 1_000)
        take(desktop, into / "desktop-dark.png")
        take(phone, into / "phone-light.png")
    finally:
        clients.kill()
        node.stop()


def cluster(browser: Browser, into: Path, scratch: Path, seconds: float) -> None:
    """Take the picture of all nodes."""
    redis = RedisServer(free_port(), scratch)
    redis.start()
    nodes: list[NodeProcess] = []
    clients = None
    try:
        trio.run(redis.wait_ready)
        dispatcher = NodeProcess("dc1-di1", "dispatcher", redis.url)
        which = f'["{dispatcher.url}"]'
        frontends = [
            NodeProcess(f"dc1-fe{n}", "frontend", redis.url, f"frontend.dispatchers={which}") for n in (1, 2)
        ]
        database = f"backend.database={scratch / 'cluster.db'}"
        backend = NodeProcess("dc1-be1", "backend", redis.url, f"backend.dispatchers={which}", database)
        nodes = [dispatcher, *frontends, backend]
        started(*nodes)
        clients = load(backend, *frontends)
        page = opened(browser, f"{frontends[0].ops_url}/#cluster", 1280, 900, "light")
        page.wait_for_timeout(seconds * 1_000)
        with httpx.Client(trust_env=False, base_url=f"{backend.url}/v1/videos/concert/") as client:
            client.put("settings", json={"comments": "slow", "slow": 30}).raise_for_status()
            client.put("bans/eve", json={"until": None, "reason": "spam"}).raise_for_status()
            client.put("pin", json={"text": "Back at nine"}).raise_for_status()
        page.locator("#publish [name=video]").fill("concert")
        page.locator("#publish [name=data]").fill('{"reaction":"heart"}')
        page.keyboard.press("Enter")
        page.locator("#line li.good").first.wait_for()
        page.locator("#publish [name=data]").blur()
        page.wait_for_timeout(20_000)  # the acts are asked for now and then
        take(page, into / "cluster-light.png")
    finally:
        if clients is not None:
            clients.kill()
        for node in nodes:
            node.stop()
        redis.stop()


def main() -> None:
    """Take all pictures."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--into", type=Path, default=ROOT / "liveserver" / "ops" / "pictures")
    parser.add_argument(
        "--seconds", type=float, default=125, help="of load before the pictures: the charts have 120"
    )
    parser.add_argument("--load", nargs="+", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.load:
        trio.run(put_load, arguments.load[0], arguments.load[1:])
        return
    with tempfile.TemporaryDirectory() as scratch, running_browser() as browser:
        for number, act in enumerate((one_node, cluster)):
            within = Path(scratch) / str(number)
            within.mkdir()
            act(browser, arguments.into, within, arguments.seconds / (1 + 4 * number))


if __name__ == "__main__":
    main()
