import json
import sys
import time

import httpx
from httpx_sse import connect_sse

headers: dict[str, str] = {}
with httpx.Client(timeout=None, trust_env=False) as client:
    while True:
        try:
            with connect_sse(client, "GET", f"{sys.argv[1]}/v1/videos/v/events", headers=headers) as source:
                for event in source.iter_sse():
                    if event.id:
                        headers["Last-Event-ID"] = event.id
                    if event.event == "ready":
                        print("ready", flush=True)
                    elif event.event == "like":
                        print(json.loads(event.data)["data"]["n"], flush=True)
        except httpx.TransportError:
            pass
        time.sleep(0.2)
