"""What a dispatcher's answer other than success says, for this node's log and readiness."""

from __future__ import annotations

import httpx
import msgspec

LONGEST_DETAIL = 300  # characters


class _Document(msgspec.Struct):
    detail: str = ""


def problem_detail(answer: httpx.Response) -> str:
    """Return the `detail` of a problem document; empty when the answer is none."""
    try:
        return msgspec.json.decode(answer.content, type=_Document).detail[:LONGEST_DETAIL]
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return ""


def describe_refusal(url: str, answer: httpx.Response) -> str:
    """Say which dispatcher answered with which status, and why: that Redis is away, for example."""
    reason = f"{url} answered {answer.status_code}"
    if detail := problem_detail(answer):
        reason += f": {detail}"
    if answer.status_code in (401, 403):
        reason += "; auth.nodes_secret has to be the same here and there, and the clocks too"
    return reason
