"""Parsing of publications: valid ones keep their meaning, others are refused."""

from __future__ import annotations

import json
from itertools import pairwise
from typing import Any

import msgspec
import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st

from liveserver import state
from liveserver.config import DispatcherSettings, Duration, Size
from liveserver.dispatcher.parse import YIELD_BYTES, Parser, VideoBatch
from liveserver.errors import BadRequest, Problem, TooLarge
from liveserver.event import RESERVED_TYPES
from liveserver.ids import IdMaker

JSON, NDJSON = "application/json", "application/x-ndjson"
NOW = 1763862000.123
NOW_MS = 1763862000123
parser = Parser(DispatcherSettings(), lambda: NOW)


def video_batches(body: bytes | str, kind: str = JSON, video: str | None = "v1") -> list[VideoBatch]:
    return parser.video_batches(body.encode() if isinstance(body, str) else body, kind, video)


def line(body: bytes | str) -> bytes:
    ((line,),) = [video_batch.lines for video_batch in video_batches(body)]
    return line


def event(line: bytes) -> dict[str, Any]:
    kind, _, text = line.partition(b" ")
    value: dict[str, Any] = json.loads(text)
    assert value["type"] == kind.decode()
    return value


def of(**fields: Any) -> str:
    return json.dumps({"type": "like"} | fields)


def test_an_event_is_rendered_as_viewers_see_it() -> None:
    body = '{"data":{"reaction":"heart"},"user":"u42","id":"my-id","type":"like"}'
    assert video_batches(body) == [
        VideoBatch(
            "v1",
            [
                b'like {"id":"my-id","video":"v1","type":"like","user":"u42","at":1763862000123,'
                b'"data":{"reaction":"heart"}}'
            ],
            ["my-id"],
        )
    ]


def test_absent_fields_stay_absent() -> None:
    (video_batch,) = video_batches('{"type":"like","user":null,"id":null}')
    value = event(video_batch.lines[0])
    assert list(value) == ["id", "video", "type", "at"]
    assert video_batch.ids == [None]
    assert event(line(of(data=None)))["data"] is None


def test_a_body_is_one_event_an_array_or_lines() -> None:
    assert len(video_batches("[" + of() + "]")[0].lines) == 1
    assert len(video_batches(" \n[" + of() + "," + of() + "]")[0].lines) == 2
    (video_batch,) = video_batches(f"\n{of(user='a')}\r\n\n  \n{of(user='b')}\n\n", NDJSON)
    assert [event(each)["user"] for each in video_batch.lines] == ["a", "b"]


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        ("", JSON),
        ("", NDJSON),
        ("\n \n", NDJSON),
        ("[]", JSON),
        ("[[]]", JSON),
        ("null", JSON),
        ('"like"', JSON),
        ("{}", JSON),
        ('{"type":"like"', JSON),
        ('{"type":"like"} x', JSON),
        ('{"type":"like"}\n{"type":"like"}', JSON),
        ('[{"type":"like"}]', NDJSON),
        ('{"type":"like"}\nx', NDJSON),
        ('{"type":"like"}\n{"type":"LIKE"}', NDJSON),
        ('{"type":1}', JSON),
        ('{"type":null}', JSON),
        ('{"type":"like","user":1}', JSON),
        ('{"type":"like","id":1}', JSON),
        ('{"type":"like","video":1}', JSON),
        ('{"type":"like","ate":1}', JSON),
        ('{"type":"like","Type":"like"}', JSON),
        ('{"type":"like","data":}', JSON),
        ('{"type":"like","data":01}', JSON),
        ('{"type":"like","data":NaN}', JSON),
        ('{"type":"like","data":"\t"}', JSON),
        ('{"type":"like","data":"\\ud800"}', JSON),
        ('{"type":"like","data":"a\nb"}', JSON),
        ('{"type":"like","user":"\\udc00"}', JSON),
        (b'{"type":"like","user":"\xff"}', JSON),
        (b'{"type":"like","data":"\xff"}', JSON),
        (b'{"type":"like","data":"\xed\xa0\x80"}', JSON),
        (b'{"type":"like"}\n{"type":"like","data":"\xc3"}', NDJSON),
        (b'\xef\xbb\xbf{"type":"like"}', JSON),
        ('{"type":"like"}'.encode("utf-16"), JSON),
        ('{"type":"like","data":' + "[" * 100_000 + "]" * 100_000 + "}", JSON),
    ],
)
def test_malformed_bodies_are_bad_requests(body: bytes | str, kind: str) -> None:
    with pytest.raises(BadRequest) as caught:
        video_batches(body, kind)
    assert caught.value.body()


@pytest.mark.parametrize("kind", ["a", "like", "a.b_c-9", "x" * 32])
def test_types(kind: str) -> None:
    assert event(line(of(type=kind)))["type"] == kind


@pytest.mark.parametrize("kind", ["", "A", "9", "-a", "a b", "a\n", "ä", "x" * 33, *sorted(RESERVED_TYPES)])
def test_types_that_are_not(kind: str) -> None:
    with pytest.raises(BadRequest, match="type"):
        video_batches(of(type=kind))


def test_users_and_ids_up_to_their_limits_are_accepted() -> None:
    longest = "ü☃𝄞 " * 32
    assert event(line(of(user=longest, id=longest)))["user"] == longest
    assert event(line(of(user="...")))["user"] == "..."
    for bad in (
        {"user": "."},
        {"user": ".."},
        {"user": "a\0"},
        {"user": "x" * 129},
        {"id": "x" * 129},
        {"id": ""},
        {"id": "a\nb"},
        {"id": "\x7f"},
    ):
        with pytest.raises(BadRequest, match=next(iter(bad))):
            video_batches(of(**bad))


def test_data_up_to_its_limit_is_accepted() -> None:
    text = "x" * (16 * 1024 - 2)
    assert event(line(of(data=text)))["data"] == text
    with pytest.raises(TooLarge):
        video_batches(of(data=text + "x"))
    with pytest.raises(TooLarge, match="event 2: "):
        video_batches(f"[{of()},{of(data=text + 'x')}]")


def test_data_up_to_the_depth_limit_is_accepted() -> None:
    shallow = Parser(DispatcherSettings(max_depth=3), lambda: NOW)

    def depth(data: str) -> None:
        shallow.video_batches(b'{"type":"like","data":%b}' % data.encode(), JSON, "v")

    for good in (
        '[[[1]],[[]],{"a":[]}]',
        "[[],[],[],[],[]]",
        '"[[[[[["',
        '{"[[[[":"\\"[[[["}',
        '["\\\\",[[]]]',
        '["\\\\\\"[[[["]',
    ):
        depth(good)
    for bad in (
        "[[[[]]]]",
        '{"a":{"b":{"c":{}}}}',
        '["\\\\",[[[]]]]',
        '["]]]]",[[[]]]]',
        "[[],[[],[[],[]]]]",
        '[1,[2,[{"a":3}]]]',
    ):
        with pytest.raises(BadRequest, match="at most 3 deep"):
            depth(bad)


@given(st.recursive(st.text(), lambda inner: st.lists(inner, min_size=1) | st.dictionaries(st.text(), inner)))
def test_depth_is_counted_as_a_parser_counts(data: Any) -> None:
    def depth(value: Any) -> int:
        if isinstance(value, dict):
            return 1 + max(map(depth, value.values()), default=0)
        return 1 + max(map(depth, value), default=0) if isinstance(value, list) else 0

    counted = depth(data)
    body = msgspec.json.encode({"type": "like", "data": data})
    if counted:
        Parser(DispatcherSettings(max_depth=counted), lambda: NOW).video_batches(body, JSON, "v")
    if counted > 1:
        with pytest.raises(BadRequest, match="deep"):
            Parser(DispatcherSettings(max_depth=counted - 1), lambda: NOW).video_batches(body, JSON, "v")


def test_data_is_kept_byte_for_byte() -> None:
    for text in ("1e308", "123456789012345678901234567890", "-0", "1.50E+3", '"\\u00fc\\/"', '{"b":1,"a":2}'):
        assert line('{"type":"like","data":' + text + "}").endswith(b',"data":%b}' % text.encode())


# What some readers could not read back, or would read otherwise


NOT_INTEROPERABLE = {
    "beyond a double": "1e999",
    "beyond a double, negative": "[-1E+400]",
    "5,000 digits": "9" * 5000,
    "5,000 digits of a fraction": "0." + "1" * 5000,
    "309 digits": '{"a":' + "9" * 309 + "}",
    "a name twice": '{"a":1,"a":2}',
    "a name twice, deep": '[{"b":[{"a":1,"c":2,"a":3}]}]',
    "a name twice, once escaped": '{"a":1,"\\u0061":2}',
    "a name twice beside text with colons": '{"a":":","a":":"}',
    "the empty name twice": '{"":1,"":2}',
    "a lone high surrogate": '"\\ud83d"',
    "a lone low surrogate in a name": '{"\\udc00":1}',
    "surrogates in the wrong order": '"\\ude00\\ud83d"',
    "NaN": "NaN",
    "infinity": "-Infinity",
    "too deep": "[" * 65 + "]" * 65,
    "a comment": "[1]/**/",
    "a trailing comma": "[1,]",
    "a leading zero": "007",
    "hexadecimal": "0x10",
    "single quotes": "'a'",
    "an escape that is none": '"\\x41"',
    "a bare control character": '"\x0b"',
}


@pytest.mark.parametrize("data", NOT_INTEROPERABLE.values(), ids=NOT_INTEROPERABLE)
@pytest.mark.parametrize("kind", [JSON, NDJSON])
def test_data_that_a_common_parser_cannot_read_back_is_refused(data: str, kind: str) -> None:
    for before in ("", of() + "\n"):
        body = f'{before}{{"type":"like","data":{data}}}'
        if before and kind == JSON:
            body = f"[{body}]".replace("\n", ",")
        with pytest.raises(BadRequest):
            video_batches(body, kind)


@pytest.mark.parametrize(
    "body",
    [
        '{"type":"like","type":"comment"}',
        '{"type" : "like" , "type" : "like"}',
        '{"type":"like","\\u0074ype":"comment"}',
        '{"type":"like","user":"a","user":"b"}',
        '{"type":"like","user":null,"user":"b"}',
        '{"type":"like","user":"b","user":null}',
        '{"type":"like","user":"a\\u003a","user":"b"}',
        '{"type":"like","id":"1","id":"2"}',
        '{"type":"like","video":"v1","video":"v1"}',
        '{"type":"like","data":null,"data":1}',
        '{"type":"like","data":{"a":1},"data":{"a":1}}',
    ],
)
def test_a_field_that_comes_twice_is_refused(body: str) -> None:
    for each, kind in ((body, JSON), (f"[{of()},{body}]", JSON), (f"{of()}\n{body}\n", NDJSON)):
        with pytest.raises(BadRequest, match="two members named"):
            video_batches(each, kind)


def test_a_name_may_recur_in_another_object_or_within_a_string() -> None:
    for data in (
        '{"a":{"a":1},"b":{"a":2}}',
        '[{"a":1},{"a":1}]',
        '{"a":"\\"a\\":1","b":"a:b:c"}',
        '{"a":1,"A":2,"a ":3}',
        '{"text":"see: https://example.org:8080/ \\"a\\":1"}',
    ):
        assert event(line('{"type":"like","user":"a:b","data":' + data + "}"))["data"] == json.loads(data)


LINE_ENDS = "\n\v\f\r\x1c\x1d\x1e\x85\u2028\u2029"


@pytest.mark.parametrize("end", LINE_ENDS, ids=ascii)
@pytest.mark.parametrize("escaped", [True, False])
def test_no_text_can_end_a_line_for_any_reader(end: str, escaped: bool) -> None:
    text = f"a{end}b"
    body = of(user=text, data={text: [text]})
    if not escaped and end >= "\x7f":  # others are not JSON unless they are escaped
        body = json.dumps(json.loads(body), ensure_ascii=False)
    (shown,) = line(body).decode().splitlines()
    assert event(shown.encode())["user"] == text
    assert event(shown.encode())["data"] == {text: [text]}
    with pytest.raises(BadRequest, match="id"):
        video_batches(of(id=text))


async def test_a_large_body_lets_others_run_in_between() -> None:
    turns = 0

    async def count() -> None:
        nonlocal turns
        while True:
            turns += 1
            await trio.lowlevel.checkpoint()

    body = "[" + ",".join([of(data={f"k{index}": ["x", {"a": ":"}] for index in range(400)})] * 100) + "]"
    async with trio.open_nursery() as nursery:
        nursery.start_soon(count)
        (video_batch,) = await parser.parse(body.encode(), JSON, "v1")
        nursery.cancel_scope.cancel()
    assert len(video_batch.lines) == 100
    assert turns > len(body) // (2 * YIELD_BYTES)


def test_an_event_stays_on_one_line() -> None:
    rendered = line('{"type":"like",\n"user":"a\\nb\\r",\r\n"data":{"a":\r\n[1,\n2],\n"b":"\\n"}\n}')
    assert b"\n" not in rendered
    assert b"\r" not in rendered
    assert event(rendered)["data"] == {"a": [1, 2], "b": "\n"}
    assert event(rendered)["user"] == "a\nb\r"


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=10,
)


@given(values, st.text(max_size=128), st.sampled_from([None, 1]), st.booleans())
def test_published_data_reaches_viewers_unchanged(
    data: Any, user: str, indent: int | None, ascii_: bool
) -> None:
    body = json.dumps({"type": "like", "user": user, "data": data}, indent=indent, ensure_ascii=ascii_)
    rendered = line(body.encode("utf-8", "replace"))
    assert len(rendered.decode().splitlines()) == 1
    value = event(rendered)
    assert (value["data"], value["user"]) == (data, user)


@given(st.binary(max_size=40), st.integers(0, 60), st.sampled_from([JSON, NDJSON]))
def test_any_body_is_published_whole_or_a_problem(noise: bytes, at: int, kind: str) -> None:
    body = b'{"type":"like","user":"u","data":{"a":["b",1.5]},"id":"i"}'
    try:
        accepted = video_batches(body[:at] + noise + body[at:], kind)
    except Problem:
        return
    for video_batch in accepted:
        for each in video_batch.lines:
            assert event(each)["video"] == "v1"
            assert b"\n" not in each


# Videos


def test_the_path_names_the_video() -> None:
    assert video_batches(of(video="v1"))[0].video == "v1"
    with pytest.raises(BadRequest, match="another video"):
        video_batches(of(video="v2"))


def test_or_each_event_does() -> None:
    names = ["b", "a", "b", "c", "a"]
    body = "[" + ",".join(of(video=name, id=f"{name}{index}") for index, name in enumerate(names)) + "]"
    assert [(video_batch.video, video_batch.ids) for video_batch in video_batches(body, video=None)] == [
        ("b", ["b0", "b2"]),
        ("a", ["a1", "a4"]),
        ("c", ["c3"]),
    ]


@pytest.mark.parametrize(
    "fields", [{}, {"video": ""}, {"video": "-a"}, {"video": "a\n"}, {"video": "x" * 129}]
)
def test_an_event_without_a_video_is_a_bad_request(fields: dict[str, str]) -> None:
    with pytest.raises(BadRequest, match="event 2: name the event's video"):
        video_batches(f"[{of(video='v')},{of(**fields)}]", video=None)


def test_the_number_of_events_per_request_is_limited() -> None:
    body = "[" + ",".join(['{"type":"like"}'] * 1000)
    assert len(video_batches(body + "]")[0].lines) == 1000
    with pytest.raises(TooLarge, match="1000 events"):
        video_batches(body + ',{"type":"like"}]')


def test_limits_are_the_settings() -> None:
    small = Parser(DispatcherSettings(max_events=1, max_data=Size(2)), lambda: NOW)
    assert small.video_batches(b'{"type":"like","data":12}', JSON, "v")
    with pytest.raises(TooLarge):
        small.video_batches(b'{"type":"like","data":123}', JSON, "v")
    with pytest.raises(TooLarge):
        small.video_batches(b'{"type":"like"}\n{"type":"like"}', NDJSON, "v")


# Ids


def test_ids_made_here_are_unique_and_in_order() -> None:
    new_id = IdMaker()
    made = [new_id(at) for at in (1, 1, 31, 32, 1000, 1000, 1763862000123) for _ in range(100)]
    assert all(before < after for before, after in pairwise(made))
    assert {len(each) for each in made} == {26}
    assert IdMaker()(1) != IdMaker()(1)


def test_an_id_tells_its_time_in_crockfords_digits() -> None:
    assert IdMaker()(1469918176385)[:10] == "01ARYZ6S41"  # the example of the ULID specification


def test_events_without_an_id_are_given_one() -> None:
    (video_batch,) = video_batches(f"[{of()},{of(id='mine')},{of()}]")
    first, own, last = [event(each)["id"] for each in video_batch.lines]
    assert (own, video_batch.ids) == ("mine", [None, "mine", None])
    assert first < last


# Keyed events


def test_a_keyed_event_says_its_key_in_the_lines_head() -> None:
    counted = of(key="likes/s1", version=7, id="a b", position=1500, data=1)
    (video_batch,) = video_batches(f"[{counted},{of(key='pin', id='c', data=None)}]")
    assert video_batch.is_keyed
    assert [line.partition(b" {")[0] for line in video_batch.lines] == [
        b";like;likes/s1;7;%d;" % NOW_MS,
        b";like;pin;-;%d;c" % NOW_MS,
    ]
    first, second = map(state.read, video_batch.lines)
    assert (first.key, first.rank, first.is_cleared) == ("likes/s1", (7, NOW_MS, b"a b"), False)
    assert (second.rank, second.is_cleared) == ((-1, NOW_MS, b"c"), True)
    event = msgspec.json.decode(first.data)
    assert list(event) == ["id", "video", "type", "at", "key", "version", "position", "data"]
    assert (event["key"], event["version"], event["position"]) == ("likes/s1", 7, 1500)


def test_an_event_without_a_key_is_none() -> None:
    (video_batch,) = video_batches(of(position=0))
    assert not video_batch.is_keyed
    assert video_batch.lines[0].startswith(b"like {")


@pytest.mark.parametrize("key", ["a", "likes/s1", "ban/u:1.2-_", "k" * 128])
def test_keys_that_are_some(key: str) -> None:
    assert state.read(video_batches(of(key=key))[0].lines[0]).key == key


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        *[({"key": key}, "a key has") for key in ("", "A", "1", "k k", "k;k", "k" * 129, "k\n", "é")],
        ({"version": 1}, "belongs to a key"),
        *[({"key": "k", "version": version}, "a version is") for version in (-1, 2**53)],
        ({"key": "k", "version": 1.5}, "malformed body"),
        ({"key": "k", "version": 2**70}, "malformed body|a version is"),
        ({"key": "k", "version": "1"}, "malformed body"),
        *[({"key": "k", "id": name}, "printable ASCII") for name in ("é", 'a"', "a\\b")],
        *[({"position": position}, "a position is") for position in (-1, 2**53)],
        ({"position": 1.5}, "malformed body"),
    ],
)
def test_keyed_events_that_are_none(fields: dict[str, object], says: str) -> None:
    with pytest.raises(BadRequest, match=says):
        video_batches(of(**fields))


# What only nodes publish


@pytest.mark.parametrize(
    ("fields", "is_node_only"),
    [
        ({}, False),
        ({"type": "pinned", "key": "pinned"}, False),
        ({"key": "likesome"}, False),
        ({"key": "settingsx"}, False),
        *[({"type": kind}, True) for kind in ("likes", "settings", "pin", "ban", "waiting", "audit")],
        *[
            ({"key": key}, True)
            for key in ("likes/s", "settings", "pin", "ban/u", "waiting/x", "ban", "audit")
        ],
        ({"at": 5}, False),
        ({"role": "host"}, True),
        ({"by": "ada"}, True),
    ],
)
def test_node_only_types_are_recognised(fields: dict[str, object], is_node_only: bool) -> None:
    (video_batch,) = video_batches(of(**fields))
    assert video_batch.is_node_only is is_node_only


def test_internal_events_are_marked_with_a_key_and_without() -> None:
    (video_batch,) = video_batches(
        f"[{of(type='ban', key='ban/u', id='a')},{of(type='audit', id='b')},{of(type='pin')}]"
    )
    assert [line.split(b" ")[0] for line in video_batch.lines] == [
        b";ban;ban/u;-;%d;i" % NOW_MS,
        b";audit;;-;%d;i" % NOW_MS,
        b"pin",
    ]
    assert state.read(video_batch.lines[1]).is_internal


def test_nodes_say_when_it_was_done_and_by_whom() -> None:
    (video_batch,) = video_batches(of(type="pin", key="pin", at=1000, by="mod", role="moderator", id="a"))
    assert state.read(video_batch.lines[0]).at == 1000
    said = msgspec.json.decode(state.read(video_batch.lines[0]).data)
    assert (said["at"], said["by"], said["role"]) == (1000, "mod", "moderator")
    assert video_batches(of(at=NOW_MS + 5_000))


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        *[({"at": at}, "at is in milliseconds") for at in (-1, NOW_MS + 5_001)],
        ({"role": "king"}, "a role is"),
        ({"by": "x" * 129}, "at most 128"),
        ({"type": "audit", "version": 1}, "belongs to a key"),
        ({"type": "audit", "id": "\u00e9"}, "printable ASCII"),
    ],
)
def test_events_of_nodes_are_checked_too(fields: dict[str, object], says: str) -> None:
    with pytest.raises(BadRequest, match=says):
        video_batches(of(**fields))


def test_the_time_is_the_publishers_own_and_a_later_acceptance_is_stated() -> None:
    for at, accepted in ((NOW_MS, None), (NOW_MS - 1_000, None), (NOW_MS - 1_001, NOW_MS), (0, NOW_MS)):
        said = event(line(of(at=at)))
        assert (said["at"], said.get("accepted")) == (at, accepted)
    assert list(event(line(of(at=5, user="u", position=7, data=1)))) == [
        "id", "video", "type", "user", "at", "accepted", "position", "data",
    ]  # fmt: skip


def test_a_time_too_far_ahead_becomes_now_where_that_is_asked_for() -> None:
    body = of(at=NOW_MS + 3_600_000, position=9).encode()
    (video_batch,) = parser.video_batches(body, JSON, "v1", lenient=True)
    said = event(video_batch.lines[0])
    assert (said["at"], said["position"], "accepted" in said) == (NOW_MS, 9, False)


def test_how_far_ahead_is_a_setting() -> None:
    strict = Parser(DispatcherSettings(max_ahead=Duration(0.0)), lambda: NOW)
    assert strict.video_batches(of(at=NOW_MS).encode(), JSON, "v1")
    with pytest.raises(BadRequest, match="at most 0 ms ahead"):
        strict.video_batches(of(at=NOW_MS + 1).encode(), JSON, "v1")


def test_unknown_fields_are_ignored_from_nodes_and_refused_from_publishers() -> None:
    parser = Parser(DispatcherSettings())
    body = b'[{"type":"like","id":"a","later":{"x":1}}]'
    (video_batch,) = parser.video_batches(body, JSON, "v1", lenient=True)
    assert b"later" not in video_batch.lines[0]
    with pytest.raises(BadRequest, match="later"):
        parser.video_batches(body, JSON, "v1")


async def test_a_large_body_is_lenient_too() -> None:
    events = "[" + ",".join([of(at=NOW_MS + 10_000, data="x" * 100)] * 500) + "]"
    assert len(events) > YIELD_BYTES
    (video_batch,) = await parser.parse(events.encode(), JSON, "v1", lenient=True)
    assert len(video_batch.lines) == 500
    with pytest.raises(BadRequest, match="event 1: at is"):
        await parser.parse(events.encode(), JSON, "v1")
