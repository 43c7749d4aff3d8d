"""The npm package as it would be published, outside the checkout: Node, workers, Vite, TypeScript, React.

What needs its development dependencies is skipped where `npm ci` has not been run in clients/js; CI does.
"""

from __future__ import annotations

import gzip
import json
import os
import shutil
import subprocess
import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, Route, expect

from liveserver import __version__
from liveserver.web.page import STATIC
from tests.web.browsers import SECONDS, wait_until
from tests.web.scripted import ScriptedFrontend, cursor, event, frame

pytestmark = [pytest.mark.browser, pytest.mark.process]

expect.set_options(timeout=SECONDS * 1000)

SOURCE = Path(__file__).parents[2] / "clients" / "js"
TOOLS = SOURCE / "node_modules"
MOST_BYTES = 8 * 1024  # gzipped


def require(name: str, found: object) -> None:
    if not found:
        reason = f"{name} is missing"
        if os.environ.get("CI"):
            pytest.fail(reason)
        pytest.skip(reason)


def run(*command: str | Path, cwd: Path, seconds: float = 270) -> str:
    done = subprocess.run(
        [str(each) for each in command], cwd=cwd, capture_output=True, text=True, timeout=seconds, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What `npm pack` makes, unpacked."""
    require("npm", shutil.which("npm"))
    where = tmp_path_factory.mktemp("package")
    # A copy: npm writes into the directory that it packs.
    checkout = where / "checkout"
    shutil.copytree(
        SOURCE, checkout / "clients" / "js", ignore=shutil.ignore_patterns("node_modules", "dist")
    )
    shutil.copytree(STATIC, checkout / "liveserver" / "web" / "static")
    shutil.copy(SOURCE.parents[1] / "LICENSE", checkout)
    run("npm", "pack", "--offline", "--pack-destination", where, cwd=checkout / "clients" / "js")
    (packed,) = where.glob("*.tgz")
    with tarfile.open(packed) as archive:
        archive.extractall(where, filter="data")
    return where / "package"


@pytest.fixture
def project(package: Path, tmp_path: Path) -> Path:
    """A project elsewhere that has the package, and the tools, installed; in it the examples."""
    require("clients/js/node_modules (npm ci)", TOOLS.is_dir())
    modules = tmp_path / "node_modules"
    (modules / "@liveserver").mkdir(parents=True)
    shutil.copytree(package, modules / "@liveserver" / "client")
    for tool in TOOLS.iterdir():
        if not tool.name.startswith(".") or tool.name == ".bin":
            (modules / tool.name).symlink_to(tool)
    shutil.copytree(SOURCE / "examples", tmp_path / "examples")
    (tmp_path / "package.json").write_text('{"type":"module"}')
    return tmp_path


@pytest.fixture
def context(browser: Browser) -> Iterator[BrowserContext]:
    with browser.new_context() as context:
        yield context


@pytest.fixture
def frontend() -> Iterator[ScriptedFrontend]:
    with ScriptedFrontend() as frontend:
        frontend.likes = lambda path, body: (201, {"id": "e9", "total": 7})
        yield frontend


def files(root: Path) -> dict[str, bytes]:
    return {
        path.relative_to(root).as_posix(): path.read_bytes() for path in root.rglob("*") if path.is_file()
    }


def test_the_package_has_just_the_served_files(package: Path) -> None:
    found = files(package)
    served = {
        f"dist/{name}": content for name, content in files(STATIC).items() if name.startswith("liveserver")
    }
    assert {name: found.pop(name) for name in list(found) if name.startswith("dist/")} == served
    types = {name.replace("dist/", "types/").replace(".js", ".d.ts") for name in served}
    assert set(found) == {"package.json", "README.md", "LICENSE", *types}
    described = json.loads(found["package.json"])
    assert described["version"] == __version__
    assert "dependencies" not in described


def test_the_types_are_those_of_the_source(project: Path, tmp_path: Path) -> None:
    """`npm run types` has been run; the source itself is free of type errors."""
    fresh = tmp_path / "fresh"
    run(TOOLS / ".bin" / "tsc", "--project", SOURCE / "tsconfig.json", "--outDir", fresh, cwd=project)
    assert files(fresh) == files(SOURCE / "types")


def test_the_package_is_small(project: Path) -> None:
    """A page that replays nothing does not load what replays."""
    entry = project / "live_only.js"
    entry.write_text('import { LiveVideo } from "@liveserver/client"; globalThis.LiveVideo = LiveVideo;\n')
    bundle = run(TOOLS / ".bin" / "esbuild", entry, "--bundle", "--minify", "--format=esm", cwd=project)
    assert "LiveVideo" in bundle
    assert len(gzip.compress(bundle.encode(), 9)) <= MOST_BYTES


NODE = """
import { LiveError, LiveVideo } from "@liveserver/client";
const live = new LiveVideo(process.argv[2], "v", { user: "ada" });
const seen = [];
live.addEventListener("connection", ({ detail }) => console.log(detail.name));
live.addEventListener("*", async ({ detail }) => {
    if (seen.push(detail.id) < 4) return;
    console.log(seen.join(" "), live.cursor, (await live.like()).total);
    const show = (error) => console.log(error instanceof LiveError, error.status, error.message);
    await live.retract("gone").catch(show);
    live.close();
});
"""


def not_found_for(what: str) -> Callable[[str, dict[str, Any]], tuple[int, dict[str, Any]]]:
    def answer(path: str, body: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        return (404, {"detail": "no such comment"}) if what in path else (201, {"id": "x", "total": 7})

    return answer


def test_the_package_works_in_node_and_lets_it_end(
    package: Path, tmp_path: Path, frontend: ScriptedFrontend
) -> None:
    """Over a broken connection; after `close()` nothing keeps the process alive."""
    require("node", shutil.which("node"))
    shutil.copytree(package, tmp_path / "node_modules" / "@liveserver" / "client")
    (tmp_path / "main.mjs").write_text(NODE)
    node = subprocess.Popen(
        ["node", "main.mjs", frontend.url], cwd=tmp_path, stdout=subprocess.PIPE, text=True
    )
    with node:
        try:
            frontend.stream(1).send("retry: 10\n")
            frontend.stream(1).ready(0)
            frontend.stream(1).events(1, 2)
            frontend.stream(1).send("event: x\r")
            frontend.stream(1).close()
            again = frontend.stream(2)
            assert again.query == {"cursor": cursor(2)}
            again.ready(2, resumed=True)
            frontend.likes = lambda path, body: (
                (404, {"detail": "no such comment"}) if "gone" in path else (201, {"id": "x", "total": 7})
            )
            again.events(3, 4)
            out, _ = node.communicate(timeout=SECONDS)
        finally:
            node.kill()
    lines = out.split("\n")
    assert f"e1 e2 e3 e4 {cursor(4)} 7" in lines
    assert "true 404 no such comment" in lines
    assert lines[-2] == "closed"
    assert node.returncode == 0
    wait_until(lambda: frontend.open_streams() == 0)


WORKER = """
import { LiveVideo } from "/liveserver.js";
const live = new LiveVideo(location.origin, "v", { share: false });
live.addEventListener("*", ({ detail }) => postMessage(detail.id));
live.addEventListener("connection", ({ detail }) => postMessage(detail.name));
onmessage = () => live.close();
"""


def test_the_package_works_in_a_worker(context: BrowserContext, frontend: ScriptedFrontend) -> None:
    page = context.new_page()
    frontend.scripts["worker.js"] = WORKER
    page.goto(f"{frontend.url}/page/icon.svg")
    page.evaluate(
        """() => {
            window.heard = [];
            window.worker = new Worker("/worker.js", { type: "module" });
            worker.onmessage = ({ data }) => heard.push(data);
        }"""
    )
    frontend.stream(1).ready(0)
    frontend.stream(1).events(1, 2)
    wait_until(lambda: page.evaluate("heard.slice(-3)") == ["live", "e1", "e2"])
    page.evaluate("worker.postMessage(0)")
    wait_until(lambda: page.evaluate("heard.at(-1)") == "closed")
    wait_until(lambda: frontend.open_streams() == 0)


TYPES = """
import { LiveVideo, type LiveEvent } from "@liveserver/client";
const live = new LiveVideo(["https://a.example"], "v", { transport: "ws", token: async () => "t" });
const take = <T,>(value: T) => void value;
live.addEventListener("like", ({ detail }) => take<string>(detail.data.reaction));
live.addEventListener("comment", ({ detail }) => take<string>(detail.data.text));
live.addEventListener("bye", ({ detail }) => take<boolean>(detail.reconnect));
live.addEventListener("connection", ({ detail }) => take<boolean>(detail.name === "live"));
live.addEventListener("state", ({ detail }) => take<LiveEvent[]>(detail.events));
live.addEventListener("poll.opened", ({ detail }) => take<LiveEvent>(detail), { once: true });
take<number | undefined>(live.total?.likes);
take<LiveEvent | undefined>(live.state.get("pin"));
take<"open" | "slow" | "closed">(live.settings.comments);
take<string | undefined>(live.pinned?.text);
live.like("heart").then(({ total }) => total.toFixed());
// @ts-expect-error there is no such transport
new LiveVideo("https://a.example", "v", { transport: "carrier pigeon" });
// @ts-expect-error a comment has no reaction
live.addEventListener("comment", ({ detail }) => detail.data.reaction);
// @ts-expect-error connections have no such name
live.addEventListener("connection", ({ detail }) => detail.name === "lively");
// @ts-expect-error nothing may be pinned
take<string>(live.pinned.text);
// @ts-expect-error what is dispatched is not to be changed
live.state.clear();
"""


def test_the_examples_and_each_events_type_compile_strictly(project: Path) -> None:
    (project / "examples" / "types.ts").write_text(TYPES)
    run(TOOLS / ".bin" / "tsc", "--project", project / "examples" / "tsconfig.json", cwd=project)


def fulfilled(path: Path) -> Callable[[Route], None]:
    return lambda route: route.fulfill(path=path)


def served(context: BrowserContext, frontend: ScriptedFrontend, built: Path) -> Page:
    """A page at the frontend's origin that is made of these files."""
    page = context.new_page()
    for path in built.rglob("*"):
        if path.is_file():
            name = path.relative_to(built).as_posix()
            page.route(f"**/{name}", fulfilled(path))
    page.goto(f"{frontend.url}/index.html")
    return page


def test_built_with_vite_it_watches_and_likes(
    project: Path, context: BrowserContext, frontend: ScriptedFrontend
) -> None:
    run(TOOLS / ".bin" / "vite", "build", "--outDir", project / "built", cwd=project / "examples" / "vite")
    page = served(context, frontend, project / "built")
    frontend.stream(1).ready(0)
    frontend.stream(1).send(frame(event(1, data={"reaction": "fire"}), 1))
    frontend.stream(1).send(frame(event(2, "comment", data={"text": "hello"}), 2))
    expect(page.locator("#ids")).to_have_text("e1 e2")
    expect(page.locator("#last")).to_have_text("5")
    page.locator("#like").click()
    expect(page.locator("#total")).to_have_text("7")


def test_the_react_hook_counts_each_event_once_in_strict_mode(
    project: Path, context: BrowserContext, frontend: ScriptedFrontend
) -> None:
    built = project / "built"
    built.mkdir()
    options = (
        "--bundle",
        "--format=esm",
        '--define:process.env.NODE_ENV="development"',
        f"--outfile={built}/main.js",
    )
    run(TOOLS / ".bin" / "esbuild", "examples/react/main.tsx", *options, cwd=project)
    (built / "index.html").write_text('<div id="root"></div><script type="module" src="/main.js"></script>')
    page = served(context, frontend, built)
    frontend.stream(1).ready(0)
    frontend.stream(1).events(1, 3)
    expect(page.locator("#ids")).to_have_text("e1 e2 e3")
    expect(page.locator("#connection")).to_have_text("live")
    page.get_by_role("button").click()
    frontend.stream(1).events(4, 4)
    expect(page.locator("#ids")).to_have_text("e1 e2 e3 e4")
    wait_until(lambda: frontend.count("/likes") == 1)
    assert frontend.count("/events") == 1


def test_the_plain_page_works(context: BrowserContext, frontend: ScriptedFrontend, tmp_path: Path) -> None:
    shutil.copy(SOURCE / "examples" / "page.html", tmp_path / "index.html")
    page = served(context, frontend, tmp_path)
    frontend.stream(1).ready(0)
    frontend.stream(1).events(1, 2)
    frontend.stream(1).send(frame(event(3, "comment", user="ada", data={"text": "<i>hello"}), 3))
    expect(page.locator("#likes")).to_have_text("2")
    expect(page.locator("#comments li")).to_have_text("ada: <i>hello")
    expect(page.locator("#state")).to_have_text("live")
