"""Chromium's EventSource reconnects by itself; a page that reads a stream with fetch has to."""

import sys

from playwright.sync_api import ConsoleMessage, sync_playwright

EVENT_SOURCE = """
const source = new EventSource("/v1/videos/v/events");
source.addEventListener("ready", () => console.log("ready"));
source.addEventListener("like", (event) => console.log(JSON.parse(event.data).data.n));
"""
FETCH = """
(async () => {
  let cursor = "now";
  for (;;) {
    try {
      const headers = { accept: "application/x-ndjson" };
      const response = await fetch(`/v1/videos/v/events?cursor=${cursor}`, { headers });
      const lines = response.body.pipeThrough(new TextDecoderStream()).getReader();
      for (let rest = "";;) {
        const { value, done } = await lines.read();
        if (done) break;
        const whole = (rest + value).split("\\n");
        rest = whole.pop();
        for (const { cursor: at, event, data } of whole.filter(Boolean).map(JSON.parse)) {
          cursor = at ?? cursor;
          if (event === "ready") console.log("ready");
          if (event === "like") console.log(data.data.n);
        }
      }
    } catch { /* it is away */ }
    await new Promise((then) => setTimeout(then, 200));
  }
})();
"""


def tell(said: ConsoleMessage) -> None:
    if said.type == "log":
        print(said.text, flush=True)


url, how, executable = sys.argv[1:4]
with sync_playwright() as playwright:
    browser = playwright.chromium.launch(executable_path=executable, args=["--no-sandbox", "--disable-gpu"])
    page = browser.new_page()
    page.on("console", tell)
    page.goto(f"{url}/page/icon.svg")
    page.evaluate(EVENT_SOURCE if how == "eventsource" else FETCH)
    page.wait_for_timeout(60_000)
