import json
import sys
import time

import httpx
import sseclient

headers = {"accept": "text/event-stream"}
with httpx.Client(timeout=None, trust_env=False) as client:
    while True:
        try:
            with client.stream("GET", f"{sys.argv[1]}/v1/videos/v/events", headers=headers) as response:
                for event in sseclient.SSEClient(response.iter_bytes()).events():
                    if event.id:
                        headers["Last-Event-ID"] = event.id
                    if event.event == "ready":
                        print("ready", flush=True)
                    elif event.event == "like":
                        print(json.loads(event.data)["data"]["n"], flush=True)
        except httpx.TransportError:
            pass
        time.sleep(0.2)
