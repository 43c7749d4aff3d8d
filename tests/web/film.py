"""A real film for the browser tests: Chromium encodes the pictures; in the file of `webm` one can seek."""

from __future__ import annotations

import base64
import struct

from playwright.sync_api import Page, Route

WIDTH, HEIGHT = 64, 36
PICTURES = 5  # a second, the first of each second a key frame

# VP8 pictures, as fast as the machine encodes.
ENCODE = """async ([seconds, pictures, width, height]) => {
    const chunks = [];
    const encoder = new VideoEncoder({
        output: (chunk) => {
            const bytes = new Uint8Array(chunk.byteLength);
            chunk.copyTo(bytes);
            chunks.push([chunk.timestamp / 1000, chunk.type === "key", btoa(String.fromCharCode(...bytes))]);
        },
        error: (error) => { throw error; },
    });
    encoder.configure({ codec: "vp8", width, height, bitrate: 50_000, framerate: pictures });
    const canvas = new OffscreenCanvas(width, height);
    const context = canvas.getContext("2d");
    for (let number = 0; number < seconds * pictures; number++) {
        context.fillStyle = `hsl(${number * 7} 70% 40%)`;
        context.fillRect(0, 0, width, height);
        const frame = new VideoFrame(canvas, { timestamp: (number * 1_000_000) / pictures });
        encoder.encode(frame, { keyFrame: number % pictures === 0 });
        frame.close();
    }
    await encoder.flush();
    return chunks;
}"""


def film(page: Page, seconds: int) -> bytes:
    """Make a WebM film; the page is one of a secure context."""
    chunks = page.evaluate(ENCODE, [seconds, PICTURES, WIDTH, HEIGHT])
    return webm([(round(at), is_key, base64.b64decode(data)) for at, is_key, data in chunks], seconds * 1000)


def serve_film(page: Page, name: str, content: bytes) -> None:
    """Answer with the ranges that are asked for: without them nothing can be sought."""

    def answer(route: Route) -> None:
        asked = route.request.headers.get("range", "bytes=0-").removeprefix("bytes=")
        first, _, last = asked.partition("-")
        start, end = int(first), min(int(last or len(content) - 1), len(content) - 1)
        headers = {
            "content-type": "video/webm",
            "accept-ranges": "bytes",
            "content-range": f"bytes {start}-{end}/{len(content)}",
        }
        route.fulfill(status=206, headers=headers, body=content[start : end + 1])

    page.route(f"**/{name}", answer)


def webm(pictures: list[tuple[int, bool, bytes]], length: int) -> bytes:
    """Return a file of these pictures (milliseconds, key frame, VP8), with an index of its key frames."""
    header = _element(
        0x1A45DFA3,
        _number(0x4286, 1), _number(0x42F7, 1), _number(0x42F2, 4), _number(0x42F3, 8),
        _element(0x4282, b"webm"), _number(0x4287, 4), _number(0x4285, 2),
    )  # fmt: skip
    about = _element(
        0x1549A966,
        _number(0x2AD7B1, 1_000_000),
        _element(0x4489, struct.pack(">d", length)),
        _element(0x4D80, b"test"),
        _element(0x5741, b"test"),
    )
    size = _element(0xE0, _number(0xB0, WIDTH), _number(0xBA, HEIGHT))
    track = _element(
        0xAE, _number(0xD7, 1), _number(0x73C5, 1), _number(0x83, 1), _element(0x86, b"V_VP8"), size
    )
    tracks = _element(0x1654AE6B, track)
    starts = [index for index, (_, is_key, _) in enumerate(pictures) if is_key]
    clusters = [
        _cluster(pictures[start:end]) for start, end in zip(starts, [*starts[1:], len(pictures)], strict=True)
    ]
    times = [pictures[start][0] for start in starts]
    before = len(about) + len(tracks)
    place = before + len(_cues(times, [0] * len(times)))  # positions are all of one length
    places = []
    for cluster in clusters:
        places.append(place)
        place += len(cluster)
    return header + _element(0x18538067, about, tracks, _cues(times, places), *clusters)


def _cues(times: list[int], places: list[int]) -> bytes:
    points = [
        _element(0xBB, _number(0xB3, at), _element(0xB7, _number(0xF7, 1), _number(0xF1, place)))
        for at, place in zip(times, places, strict=True)
    ]
    return _element(0x1C53BB6B, *points)


def _cluster(pictures: list[tuple[int, bool, bytes]]) -> bytes:
    begin = pictures[0][0]
    blocks = [
        _element(0xA3, struct.pack(">BhB", 0x81, at - begin, 0x80 * is_key), data)
        for at, is_key, data in pictures
    ]
    return _element(0x1F43B675, _number(0xE7, begin), *blocks)


def _element(name: int, *content: bytes) -> bytes:
    body = b"".join(content)
    length = (len(body) | 1 << 56).to_bytes(8, "big")
    return name.to_bytes((name.bit_length() + 7) // 8, "big") + length + body


def _number(name: int, value: int) -> bytes:
    return _element(name, value.to_bytes(8, "big"))
