"""Recordings in a bucket: of moto's server, over HTTP."""

from __future__ import annotations

import random
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from liveserver import config
from liveserver.cli import main
from liveserver.config import RecorderSettings
from liveserver.errors import ConfigError, LiveserverError
from liveserver.node.preflight import preflight
from liveserver.recorder.opening import open_store
from liveserver.recorder.recorder import Recorder
from liveserver.recorder.recording import INDEX, Recording
from liveserver.recorder.segments import DamagedRecording, Index
from liveserver.recorder.store import Conflict
from tests.recorder.buckets import KEY, settings
from tests.recorder.test_recorder import Written
from tests.recorder.test_recording import event, files, ids, part, read, recording, retraction
from tests.recorder.test_routes import publish, recorded, serving

if TYPE_CHECKING:  # it takes long to import, and each process that runs tests imports all of them
    from liveserver.recorder.s3 import BucketStore


def options(server: str) -> list[str]:
    found = settings(server)
    names = ("s3_bucket", "s3_prefix", "s3_endpoint", "s3_region", "s3_access_key")
    return [f"recorder.{name}={getattr(found, name)}" for name in names] + [f"recorder.s3_secret_key={KEY}"]


def objects(store: BucketStore) -> dict[str, bytes]:
    found = store._client.list_objects_v2(Bucket="recordings").get("Contents", ())
    return {
        each["Key"].removeprefix("live/v/"): store.read(each["Key"].removeprefix("live/")) or b""
        for each in found
    }


def test_a_bucket_has_what_a_directory_has(store: BucketStore, tmp_path: Path) -> None:
    chance = random.Random(3)
    kept, there = recording(tmp_path), Recording(store, "v", 10.0)
    for first in range(1, 40, 4):
        lines = [
            retraction(number, chance.randrange(1, number + 4), number * 900)
            if number % 9 == 5
            else event(number, number * 900, data={"text": f"t{number}"})
            for number in range(first, first + 4)
        ]
        kept.append(part(lines, first))
        there.append(part(lines, first))
        assert objects(store) == files(tmp_path)  # and nothing that was rewritten
    assert store.folders() == ["v"]
    assert read(there) == read(kept)
    assert there.file("index.json") == kept.file("index.json")
    assert there.file("0" * 24 + ".ndjson.gz") is None


def test_of_two_recorders_one_is_refused_and_tries_again(
    store: BucketStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = Recording(store, "v", 10.0)
    Recording(store, "v", 10.0).append(part([event(1)]))
    write_once, parts = type(store).write_once, [part([event(2)], 2), part([event(2), event(3)], 2)]

    def overtaken(self: BucketStore, name: str, content: bytes) -> None:
        """Another recorder writes its index after this one has read it."""
        write_once(self, name, content)
        if parts:
            other.append(parts.pop(0))

    with monkeypatch.context() as patched:
        patched.setattr(type(store), "write_once", overtaken)
        index = Recording(store, "v", 10.0).append(part([event(2), event(3), event(4)], 2))
    assert index.offset == 4
    assert ids(Recording(store, "v", 10.0)) == ["e1", "e2", "e3", "e4"]


def test_recorders_at_the_same_time_record_the_same(store: BucketStore, server: str, tmp_path: Path) -> None:
    parts = [
        part([event(first, first * 900), retraction(first + 1, first - 1, first * 900)], first)
        for first in range(1, 14, 2)
    ]
    for each in parts:
        recording(tmp_path).append(each)

    def record() -> None:
        own = Recording(type(store)(settings(server), KEY), "v", 10.0)
        for each in parts:
            own.append(each)

    with ThreadPoolExecutor(2) as pool:
        for future in [pool.submit(record) for _ in range(2)]:
            future.result()
    found, expected = objects(store), files(tmp_path)
    assert {name: found.get(name) for name in expected} == expected


def test_a_segment_that_another_recorder_rewrites_is_not_missing(
    store: BucketStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    Recording(store, "v", 10.0).append(part([event(1)]))
    get, parts = type(store).read, [part([event(2)], 2)]

    def overtaken(self: BucketStore, name: str) -> bytes | None:
        """Another recorder rewrites the segment after this one has read the index."""
        if parts and not name.endswith(INDEX):
            Recording(store, "v", 10.0).append(parts.pop())
        return get(self, name)

    with monkeypatch.context() as patched:
        patched.setattr(type(store), "read", overtaken)
        Recording(store, "v", 10.0).append(part([event(2), event(3)], 2))
    assert ids(Recording(store, "v", 10.0)) == ["e1", "e2", "e3"]
    (entry,) = Recording(store, "v", 10.0).index().segments
    store.delete(f"v/{entry.file}")
    with pytest.raises(DamagedRecording, match="missing"):
        Recording(store, "v", 10.0).append(part([event(4)], 4))


def test_an_index_is_written_only_over_the_one_that_was_read(
    store: BucketStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.replace("v/index.json", b"1", None)
    for former in (None, b"0"):
        with pytest.raises(Conflict):
            store.replace("v/index.json", b"2", former)
    get = type(store)._get

    def slow(self: BucketStore, name: str) -> tuple[bytes, str] | None:
        """The object changes between the look and the write."""
        found = get(self, name)
        self.write_once(name, b"theirs")
        return found

    with monkeypatch.context() as patched:
        patched.setattr(type(store), "_get", slow)
        with pytest.raises(Conflict):
            store.replace("v/index.json", b"2", b"1")
        with pytest.raises(Conflict):
            store.replace("w/index.json", b"2", None)
    assert store.read("v/index.json") == b"theirs"


def test_a_write_whose_answer_was_lost_has_succeeded(
    store: BucketStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    put = store._client.put_object

    def put_twice(**request: Any) -> Any:
        put(**request)
        return put(**request)

    monkeypatch.setattr(store._client, "put_object", put_twice)
    store.replace("v/index.json", b"1", None)
    store.replace("v/index.json", b"2", b"1")
    assert store.read("v/index.json") == b"2"


def test_what_a_crash_left_is_deleted_when_it_is_old(
    store: BucketStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    there = Recording(store, "v", 10.0)
    there.append(part([event(1)]))
    named = set(objects(store))
    store.write_once("v/leftover", b"")
    store._listed.clear()
    there.open()
    assert set(objects(store)) == named | {"leftover"}  # another recorder may be about to name it
    monkeypatch.setattr("liveserver.recorder.s3.LEFTOVER", timedelta(seconds=-10))
    there.open()
    assert set(objects(store)) == named | {"leftover"}  # listed a short time ago
    store._listed.clear()
    there.open()
    assert set(objects(store)) == named


def test_a_change_that_takes_too_long_is_given_up(
    store: BucketStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("liveserver.recorder.s3.LONGEST", -1.0)
    with pytest.raises(OSError, match="took over"):
        Recording(store, "v", 10.0).append(part([event(1)]))
    assert INDEX not in objects(store)


async def test_errors_name_no_secret_and_are_retried(store: BucketStore, server: str) -> None:
    written = Written()
    await written.publish()
    lost = open_store(settings(server, s3_bucket="no-such-bucket"))
    follows = Recorder(written.bus, lost, RecorderSettings())
    await follows.step()
    assert follows.statistics().failures == 1
    with pytest.raises(LiveserverError, match="NoSuchBucket") as failed:
        await follows.check()
    assert KEY not in str(failed.value)
    assert KEY not in repr(settings(server))
    again = Recorder(written.bus, store, RecorderSettings())
    await again.step()
    assert ids(Recording(store, "v", 10.0)) == ["e1"]


async def test_check_tries_the_bucket(
    store: BucketStore, server: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("liveserver.node.preflight.TIMEOUT", 60.0)  # the machine may be busy
    node = [
        'node.roles=["dispatcher","recorder"]',
        "listen.public=127.0.0.1:0",
        "listen.ops=127.0.0.1:0",
        *options(server),
    ]

    async def trouble(*more: str) -> str:
        found = await preflight(config.load(None, [*node, *more]))
        return "".join(f"{each.setting}: {each.trouble}" for each in found if each.trouble)

    assert await trouble() == ""
    assert objects(store) == {}
    missing = await trouble("recorder.s3_bucket=no-such-bucket")
    assert missing.startswith("recorder.s3_bucket: the object store")
    assert "NoSuchBucket" in missing
    assert "http://127.0.0.1:1" in await trouble("recorder.s3_endpoint=http://127.0.0.1:1")
    put = type(store)(settings(server), KEY)._client.put_object

    def ignoring(self: Any, operation: str, request: dict[str, Any]) -> Any:
        request = {name: value for name, value in request.items() if not name.startswith("If")}
        return call(self, operation, request)

    call = type(put.__self__)._make_api_call
    monkeypatch.setattr("botocore.client.BaseClient._make_api_call", ignoring)
    assert "ignores conditional writes" in await trouble()


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (["s3_bucket=No_Bucket"], "s3_bucket"),
        (["s3_bucket=recordings", "s3_access_key=id"], "s3_secret_key_file"),
        (["s3_bucket=recordings", f"s3_secret_key={KEY}"], "s3_access_key"),
        (["s3_bucket=recordings", "s3_endpoint=http://u:p@127.0.0.1"], "s3_endpoint"),
        (["s3_bucket=recordings", "s3_endpoint=http://127.0.0.1:99999"], "s3_endpoint"),
        (["s3_bucket=recordings", "s3_prefix=/"], "s3_prefix"),
        (["s3_endpoint=http://127.0.0.1:9000"], "s3_bucket"),
    ],
)
def test_settings_that_do_not_fit(given: list[str], message: str) -> None:
    with pytest.raises(ConfigError, match=message) as refused:
        config.load(None, [f"recorder.{each}" for each in given])
    assert KEY not in str(refused.value)


def test_record_lists_exports_and_erases(
    store: BucketStore, server: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    there = Recording(store, "v", 10.0)
    there.append(part([event(1, user="ada", data={"text": "mine"}), event(2, user="bob")]))

    def run(*words: str, code: int = 0) -> str:
        own = [f"--set=backend.directory={tmp_path}", *(f"--set={each}" for each in options(server))]
        with pytest.raises(SystemExit) as ended:
            main(["record", *words, *own])
        said = capfd.readouterr()
        assert ended.value.code == code, said
        return said.out + said.err

    assert msgspec.json.decode(run("list"))["events"] == 2
    assert msgspec.json.decode(run("export", "--user", "ada"))["id"] == "e1"
    assert "s3://recordings/live/" in run("export", "w", code=2)
    before = set(objects(store))
    assert msgspec.json.decode(run("erase", "--user", "ada"))["recorded"] == 1
    assert [each.get("user") for each in read(there)] == [None, "bob"]
    assert len(set(objects(store)) - before) == len(before - set(objects(store))) == 1
    store._client.delete_object(Bucket="recordings", Key="live/v/index.json")
    store._client.put_object(Bucket="recordings", Key="live/v/index.json", Body=b"{")
    assert KEY not in run("list", code=1)


async def test_recordings_in_a_bucket_over_http(store: BucketStore, server: str, tmp_path: Path) -> None:
    async with serving(tmp_path, *options(server)) as client:
        await publish(client, {"type": "like", "user": "ada"}, {"type": "comment", "user": "ada"})
        await recorded(client, "", 2)
        answer = await client.get("/v1/videos/v/recording/index.json")
        (entry,) = msgspec.json.decode(answer.content, type=Index).segments
        file = await client.get(f"/v1/videos/v/recording/{entry.file}")
        assert file.content == objects(store)[entry.file]
    assert not (tmp_path / "recordings").exists()
