"""Kinds of values that settings share, and the base of all sections."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

RoleName = Literal["frontend", "dispatcher", "backend", "recorder", "hooks"]
Name = Annotated[str, Meta(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}\Z")]
Datacenter = Annotated[str, Meta(pattern=r"^[a-z0-9]{1,16}\Z")]
Count = Annotated[int, Meta(ge=1, le=1_000_000_000)]
Videos = Annotated[
    str, Meta(pattern=r"^(\*|[A-Za-z0-9][A-Za-z0-9._-]{0,127}\*?)\Z")
]  # "v1", "concert-*", "*"
Rate = Annotated[float, Meta(ge=0)]  # per second; 0: unlimited
Limit = Annotated[int, Meta(ge=0, le=1_000_000_000)]  # at once; 0: unlimited
Reaction = Annotated[
    str,
    Meta(pattern=r"^[a-z][a-z0-9_-]{0,31}\Z", description="1 to 32 of a-z 0-9 _ -, beginning with a letter"),
]
EventType = Annotated[
    str,
    Meta(
        pattern=r"^[a-z][a-z0-9_.-]{0,31}\Z", description="1 to 32 of a-z 0-9 _ . -, beginning with a letter"
    ),
]
HookKind = Annotated[
    str, Meta(pattern=r"^(\*|[a-z]+\.(\*|[a-z][a-z0-9_.-]{0,31}))\Z")
]  # "comment.created", "comment.*", "*"
Scope = Literal["publish", "like", "comment", "moderate", "host"]


class Section(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The base of all sections: immutable, and strict about names."""
