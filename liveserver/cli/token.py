"""`liveserver token`: a viewer's token, or a new key, on standard output."""

from __future__ import annotations

import secrets
import time
from pathlib import Path
from typing import Annotated, Any

import typer

from liveserver import config
from liveserver.cli.serve import ConfigFile, Set
from liveserver.errors import ConfigError
from liveserver.units import quantity

KEY_BYTES = 32
ID_BYTES = 12  # random bytes of `jti`, by which a token may be revoked


def token(
    video: Annotated[
        list[str] | None,
        typer.Option("--video", metavar="VIDEO", help='A video\'s name, or "concert-*". Repeatable.'),
    ] = None,
    user: Annotated[str | None, typer.Option("--user", metavar="USER", help="The token's user.")] = None,
    lifetime: Annotated[str, typer.Option("--for", metavar="TIME", help="How long it is valid.")] = "1h",
    scope: Annotated[
        list[str] | None,
        typer.Option("--scope", metavar="SCOPE", help="watch, like, comment, moderate or host. Repeatable."),
    ] = None,
    secret_file: Annotated[
        Path | None,
        typer.Option(
            "--secret-file", metavar="FILE", help="The file of the secret to sign with: auth.secret_file."
        ),
    ] = None,
    private_key_file: Annotated[
        Path | None,
        typer.Option(
            "--private-key-file",
            metavar="FILE",
            help="A private key in PEM to sign with instead: Ed25519, RSA or P-256.",
        ),
    ] = None,
    kid: Annotated[
        str | None, typer.Option("--kid", metavar="ID", help="The private key's name in a key set.")
    ] = None,
    config_file: ConfigFile = None,
    settings: Set = None,
    key: Annotated[
        bool, typer.Option("--key", help="A new key or secret instead, from the system's random numbers.")
    ] = False,
) -> None:
    """Print a viewer's token, signed with auth.secret.

    The secret is read from a configuration, from LIVESERVER_AUTH__SECRET or from --secret-file. With
    --private-key-file the token is signed with that key; its public key is auth.public_key_file or in the
    key set auth.jwks.
    """
    if key:
        typer.echo(secrets.token_urlsafe(KEY_BYTES))
        return
    if not video:
        raise typer.BadParameter("is missing: name a video, or '*' for all", param_hint="--video")
    try:
        seconds = quantity(config.Duration, lifetime)
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--for") from None

    from liveserver.auth import tokens
    from liveserver.auth.keys import MIN_SECRET, SigningKey, read_private_key, read_secrets

    auth = config.load(config_file, settings or ()).auth
    if private_key_file is not None and secret_file is not None:
        raise typer.BadParameter(
            "cannot be used together with --private-key-file", param_hint="--secret-file"
        )
    if private_key_file is not None:
        signing = read_private_key("--private-key-file", str(private_key_file))
    else:
        if secret_file is not None:
            found = read_secrets("auth.secret", None, str(secret_file), MIN_SECRET)
        else:
            found = read_secrets("auth.secret", auth.secret, auth.secret_file, MIN_SECRET)
        if not found:
            raise ConfigError(
                "auth.secret", "there is no secret to sign with; give --config or --secret-file"
            )
        signing = SigningKey("HS256", found[0])
    now = int(time.time())
    said = {"sub": user, "aud": auth.audience, "iss": auth.issuer, "scope": " ".join(scope or ()) or None}
    claims: dict[str, Any] = {
        "iat": now,
        "exp": now + round(seconds),
        "jti": secrets.token_urlsafe(ID_BYTES),
        "videos": video,
    }
    claims |= {name: value for name, value in said.items() if value is not None}
    try:
        tokens.check_claims(claims)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None
    typer.echo(tokens.sign(claims, signing, kid))
