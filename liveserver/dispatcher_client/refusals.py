"""Error messages from a dispatcher's answer other than success, for the log and readiness."""

from __future__ import annotations

import httpx
import msgspec

MAX_DETAIL = 300  # characters


class _Document(msgspec.Struct):
    detail: str = ""


def problem_detail(answer: httpx.Response) -> str:
    """Return the `detail` of a problem document; empty if the answer is not one."""
    try:
        return msgspec.json.decode(answer.content, type=_Document).detail[:MAX_DETAIL]
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return ""


def describe_refusal(url: str, answer: httpx.Response) -> str:
    """Describe which dispatcher answered with which status, and its reason."""
    reason = f"{url} answered {answer.status_code}"
    if detail := problem_detail(answer):
        reason += f": {detail}"
    if answer.status_code in (401, 403):
        reason += "; auth.nodes_secret must be the same on both nodes, and the clocks must agree"
    return reason
