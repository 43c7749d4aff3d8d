"""asyncio: print the events of a video. `python asyncio_watch.py http://127.0.0.1:8101 demo`."""

import asyncio
import sys

from liveserver_client import Event, Ready, watch


async def main(url: str, video: str, transport: str = "auto") -> None:
    async with watch(url, video, transport=transport) as items:
        async for item in items:
            match item:
                case Ready():
                    print("ready", flush=True)
                case Event():
                    print(item.id, item.type, item.user or "", flush=True)


asyncio.run(main(*sys.argv[1:]))
