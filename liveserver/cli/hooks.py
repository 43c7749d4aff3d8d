"""`liveserver hooks`: makes secrets, tests endpoints, and enables them again."""

from __future__ import annotations

import base64
import secrets
import time
from typing import Annotated

import typer

from liveserver import config
from liveserver.cli.serve import ConfigFile, Set
from liveserver.errors import LiveserverError

SECRET = 32  # bytes

hooks = typer.Typer(
    help="Make secrets for webhooks, test endpoints, enable them again.",
    no_args_is_help=True,
    rich_markup_mode=None,
    epilog="\b\nExample:\n  liveserver hooks test site --config liveserver.toml",
)

Endpoint = Annotated[str, typer.Argument(metavar="NAME", help="The endpoint: NAME in hooks.endpoints.NAME.")]


class NotDelivered(LiveserverError):
    """The endpoint has not accepted a test message."""


def _load(config_file: ConfigFile, settings: Set, name: str) -> config.Settings:
    loaded = config.load(config_file, settings or ())
    known = loaded.hooks.endpoints
    if name not in known:
        there = f"there are: {', '.join(known)}" if known else "there are none"
        raise typer.BadParameter(f"there is no hooks.endpoints.{name}; {there}", param_hint="NAME")
    return loaded


@hooks.command(epilog="\b\nExample:\n  liveserver hooks secret > hooks.secret")
def secret() -> None:
    """Print a new secret, for hooks.endpoints.NAME.secret_file and for the receiver."""
    typer.echo(f"whsec_{base64.b64encode(secrets.token_bytes(SECRET)).decode()}")


@hooks.command("test", epilog="\b\nExample:\n  liveserver hooks test site --config liveserver.toml")
def deliver_test(name: Endpoint, config_file: ConfigFile = None, settings: Set = None) -> None:
    """Deliver a message of type `test` to an endpoint, once, and say whether it was accepted."""
    import trio

    from liveserver.hooks.messages import own_message
    from liveserver.hooks.sink import Delivery, SinkError
    from liveserver.hooks.sinks import open_sink

    loaded = _load(config_file, settings, name)
    message = own_message("test", f"msg_{secrets.token_hex(16)}", int(time.time() * 1000), {"endpoint": name})

    async def deliver() -> None:
        async with open_sink(name, loaded) as sink:
            try:
                with trio.fail_after(float(loaded.hooks.timeout)):
                    await sink.deliver(Delivery(message.id, message.kind, "test", message.body))
            except SinkError as error:
                raise NotDelivered(f"{name} has not accepted the message: {error}") from None
            except trio.TooSlowError:
                raise NotDelivered(f"{name} has not answered within {loaded.hooks.timeout:g} s") from None

    trio.run(deliver)
    typer.echo(f"{name} has accepted {message.id}")


@hooks.command(epilog="\b\nExample:\n  liveserver hooks enable site --config liveserver.toml")
def enable(name: Endpoint, config_file: ConfigFile = None, settings: Set = None) -> None:
    """Deliver to an endpoint again that was disabled, as it had answered 410. Needs Redis."""
    import trio

    from liveserver.bus.redis.bus import RedisBus

    loaded = _load(config_file, settings, name)
    if loaded.bus.kind != "redis":
        raise NotDelivered('bus.kind is "memory": restart the server instead')

    async def remove() -> None:
        async with RedisBus.open(loaded.node.datacenter, loaded.bus, loaded.history) as bus:
            queue = bus.hook_queue(float(loaded.hooks.give_up_after), loaded.hooks.queue_messages)
            await queue.enable(name)

    trio.run(remove)
    typer.echo(f"{name} is enabled")
