"""Reconnects by itself after errors; when the server has ended the stream, its user reconnects."""

import asyncio
import json
import sys

import aiohttp
from aiohttp_sse_client import client


async def main() -> None:
    last: dict[str, str] = {}
    while True:
        try:
            async with client.EventSource(f"{sys.argv[1]}/v1/videos/v/events", headers=last) as source:
                async for event in source:
                    if event.last_event_id:
                        last["Last-Event-ID"] = event.last_event_id
                    if event.type == "ready":
                        print("ready", flush=True)
                    elif event.type == "like":
                        print(json.loads(event.data)["data"]["n"], flush=True)
        except (aiohttp.ClientError, ConnectionError):
            pass
        await asyncio.sleep(0.2)


asyncio.run(main())
