"""Publishers' keys: each finds its own grant."""

from __future__ import annotations

import pytest

from liveserver.auth.publishers import PublisherKeys
from liveserver.config import load
from liveserver.errors import ConfigError

ADA, BEN = "a" * 32, "b" * 32


def keys(*overrides: str) -> PublisherKeys:
    return PublisherKeys(load(None, overrides, {}).auth)


def test_a_key_finds_the_grant_of_its_publisher() -> None:
    found = keys(
        f"auth.publishers.ada.key={ADA}",
        'auth.publishers.ada.videos=["a-*"]',
        f"auth.publishers.ben.key={BEN}",
    )
    ada, ben = found.find(ADA), found.find(BEN)
    assert ada is not None
    assert ben is not None
    assert (ada.name, ada.videos) == ("ada", ("a-*",))
    assert (ben.name, ben.videos) == ("ben", ("*",))
    assert not ada.is_viewer


@pytest.mark.parametrize("key", [None, "", ADA[:-1], ADA + "a", ADA.upper(), "é"])
def test_any_other_key_finds_nothing(key: str | None) -> None:
    assert keys(f"auth.publishers.ada.key={ADA}").find(key) is None


def test_a_key_belongs_to_one_publisher() -> None:
    with pytest.raises(ConfigError, match="another publisher's") as caught:
        keys(f"auth.publishers.ada.key={ADA}", f"auth.publishers.ben.key={ADA}")
    assert ADA not in str(caught.value)
