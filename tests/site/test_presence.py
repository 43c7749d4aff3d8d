"""Lists of watching users: pages merged from several answers, each user once and sorted."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from liveserver.site import presence
from liveserver.site.presence import Present, Reply, cut, merge

USERS = st.sets(st.text("abcü", min_size=1, max_size=3), max_size=12)


def reply(users: set[str], after: str, limit: int) -> Reply:
    return cut([Present(user) for user in users], after, limit, len(users), 1)


@given(st.lists(USERS, max_size=4), st.integers(1, 5))
def test_the_pages_are_all_users_in_order(nodes: list[set[str]], limit: int) -> None:
    found: list[str] = []
    after = ""
    while True:
        page = merge([reply(users, after, limit) for users in nodes], limit)
        assert page.viewers == sum(map(len, nodes))
        assert page.anonymous == len(nodes)
        assert len(page.users) <= limit
        found += [present.user for present in page.users]
        if not page.more:
            break
        assert page.users
        after = found[-1]
    assert found == sorted(set().union(*nodes))


@given(st.lists(st.lists(USERS, max_size=3), max_size=3), st.integers(1, 4))
def test_what_datacenters_have_merged_may_be_merged_again(dcs: list[list[set[str]]], limit: int) -> None:
    found: list[str] = []
    after = ""
    while True:
        each = [merge([reply(users, after, limit) for users in nodes], limit) for nodes in dcs]
        page = merge(each, limit)
        found += [present.user for present in page.users]
        if not page.more or not page.users:
            break
        after = found[-1]
    assert found == sorted(set().union(*(users for nodes in dcs for users in nodes)))


def test_an_answer_fits_into_an_event() -> None:
    users = [Present(f"{number:03}" + 125 * "ü", "moderator") for number in range(200)]
    page = cut(users, "", 200, 200, 0)
    assert page.more
    assert 0 < sum(len(present.user.encode()) for present in page.users) <= presence.MAX_ANSWER
    assert [present.user for present in page.users] == [each.user for each in users[: len(page.users)]]
    assert cut(users, page.users[-1].user, 200, 200, 0).users[0] == users[len(page.users)]


def test_a_users_role_comes_from_whichever_node_knows_it() -> None:
    one = Reply([Present("ada"), Present("bob", "host")])
    two = Reply([Present("ada", "moderator"), Present("bob")])
    users = [Present("ada", "moderator"), Present("bob", "host")]
    assert merge([one, two], 10).users == merge([two, one], 10).users == users


def test_one_incomplete_answer_makes_all_incomplete() -> None:
    assert not merge([Reply([]), Reply([], complete=False)], 1).complete
    assert not merge([Reply([])], 1, complete=False).complete
    assert merge([], 1).complete
