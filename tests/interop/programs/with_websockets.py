import asyncio
import json
import sys

import websockets


async def main() -> None:
    template = {"video": "v"}
    async for connection in websockets.connect(sys.argv[1].replace("http", "ws") + "/v1/ws", proxy=None):
        try:
            await connection.send(json.dumps({"subscribe": template}))
            async for text in connection:
                message = json.loads(text)
                if "ready" in message:
                    template["cursor"] = message["ready"]["cursor"]
                    print("ready", flush=True)
                elif "events" in message:
                    template["cursor"] = message["events"]["cursor"]
                    for event in message["events"]["events"]:
                        print(event["data"]["n"], flush=True)
        except websockets.ConnectionClosed:
            pass


asyncio.run(main())
