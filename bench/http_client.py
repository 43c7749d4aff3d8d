"""The minimal HTTP and cursor parsing of the benchmarks' clients."""

from __future__ import annotations

import re

_ID = re.compile(rb"(.*-)([0-9]+)")  # with one origin, a cursor ends with its number
_LENGTH = re.compile(rb"\r\ncontent-length: *([0-9]+)", re.I)
_CHUNKED = re.compile(rb"\r\ntransfer-encoding: *chunked", re.I)


def split_id(cursor: bytes) -> tuple[bytes, int]:
    """Split an id before its last number; return both, (b"", -1) if there is none."""
    match = _ID.fullmatch(cursor)
    return (match[1], int(match[2])) if match else (b"", -1)


def steps(before: bytes, after: bytes) -> int:
    """Return how many events, of all origins, lie between two cursors; -1 if the second does not follow."""
    was, now = (dict(split_id(mark) for mark in cursor.split(b"~") if mark) for cursor in (before, after))
    moved = [number - was.get(origin, 0) for origin, number in now.items()]
    return sum(moved) if was.keys() <= now.keys() and all(by >= 0 for by in moved) else -1


def dechunk(stream: bytes) -> bytes:
    """Return the body in complete chunks (RFC 9112, 7.1). Raises `ValueError`."""
    body, rest = split_chunks(stream)
    if rest:
        raise ValueError(f"the chunk at byte {len(stream) - len(rest)} does not end where it says")
    return body


def split_chunks(stream: bytes) -> tuple[bytes, bytes]:
    """Return the body of a chunked stream so far, and where its last chunk begins if that is incomplete."""
    parts, position = [], 0
    while (line_end := stream.find(b"\r\n", position)) >= 0:
        start = line_end + 2
        end = start + int(stream[position:line_end], 16)
        parts.append(stream[start:end])
        if stream[end : end + 2] != b"\r\n":
            break
        position = end + 2
    return b"".join(parts), stream[position:]


def split_messages(stream: bytes) -> list[bytes]:
    """Return the texts of whole, unmasked WebSocket messages, a frame each (RFC 6455, 5.2). Raises
    `ValueError`.
    """
    texts, position = [], 0
    while position < len(stream):
        size, start = stream[position + 1], position + 2
        if size > 125:
            width = 2 if size == 126 else 8
            size, start = int.from_bytes(stream[start : start + width], "big"), start + width
        end = start + size
        if end > len(stream):
            raise ValueError(f"the message at byte {position} does not end where it says")
        if stream[position] == 0x81:
            texts.append(stream[start:end])
        elif stream[position] != 0x89:
            raise ValueError(f"a frame begins with {stream[position]:#x} at byte {position}")
        position = end
    return texts


def is_whole(answer: bytes) -> bool:
    """Return whether the head has arrived, and the body that it announces."""
    end = answer.find(b"\r\n\r\n")
    if end < 0:
        return False
    length = _LENGTH.search(answer, 0, end)
    if length is None:
        return not _CHUNKED.search(answer, 0, end) or answer.endswith(b"0\r\n\r\n")
    return len(answer) >= end + 4 + int(length[1])


def get(path: str, host: str, *lines: str) -> bytes:
    """Return a GET request with further header lines."""
    return "\r\n".join([f"GET {path} HTTP/1.1", f"Host: {host}", *lines, "", ""]).encode()


def post(path: str, body: bytes, host: str, *lines: str, content_type: str = "application/json") -> bytes:
    """Return a POST request with further header lines."""
    head = [f"POST {path} HTTP/1.1", f"Host: {host}", f"Content-Type: {content_type}", *lines]
    return "\r\n".join([*head, f"Content-Length: {len(body)}", "", ""]).encode() + body
