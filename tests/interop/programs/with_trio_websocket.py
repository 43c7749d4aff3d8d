import json
import sys

import trio
import trio_websocket


async def main() -> None:
    template = {"video": "v"}
    while True:
        try:
            async with trio_websocket.open_websocket_url(
                sys.argv[1].replace("http", "ws") + "/v1/ws"
            ) as connection:
                await connection.send_message(json.dumps({"subscribe": template}))
                while True:
                    message = json.loads(await connection.get_message())
                    if "ready" in message:
                        template["cursor"] = message["ready"]["cursor"]
                        print("ready", flush=True)
                    elif "events" in message:
                        template["cursor"] = message["events"]["cursor"]
                        for event in message["events"]["events"]:
                            print(event["data"]["n"], flush=True)
        except* (
            trio_websocket.ConnectionClosed,
            trio_websocket.HandshakeError,
            trio_websocket.DisconnectionTimeout,
            OSError,
        ):
            pass
        await trio.sleep(0.2)


trio.run(main)
