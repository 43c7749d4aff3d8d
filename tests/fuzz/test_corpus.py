"""What was found once stays found; and each target holds for a few mutations, the same every time."""

from __future__ import annotations

from itertools import islice
from pathlib import Path

import pytest

from tests.fuzz.checks import cut
from tests.fuzz.mutation import inputs
from tests.fuzz.one import CORPUS, LONGEST, corpus
from tests.fuzz.run import shares
from tests.fuzz.targets import TARGETS

FEW = 400  # mutations of a target whose inputs cost 1


@pytest.mark.parametrize(
    "path", sorted(CORPUS.glob("*/*")), ids=lambda path: f"{path.parent.name}-{path.name}"
)
def test_corpus_inputs_pass_every_check(path: Path) -> None:
    TARGETS[path.parent.name].check(path.read_bytes())


@pytest.mark.parametrize("name", TARGETS)
def test_mutations_of_it(name: str) -> None:
    target, begun = TARGETS[name], corpus(name)
    assert begun, "a target needs something to begin with"
    for data in islice(inputs(begun, target.words, 1, LONGEST), int(FEW / target.cost)):
        target.check(data)


def test_a_seed_makes_the_same_inputs_again() -> None:
    def made(seed: int) -> list[bytes]:
        return list(islice(inputs([b"abc"], [b"word"], seed, 50), 200))

    assert made(1) == made(1) != made(2)
    assert made(1)[0] == b"abc"
    assert max(map(len, made(1))) <= 50
    assert len(set(made(1))) > 100


def test_cut_up_it_is_the_same() -> None:
    data = bytes(range(100))
    assert b"".join(cut(data)) == data
    assert len(cut(data)) > 1
    assert cut(b"") == []


def test_inputs_are_shared_out_and_slow_targets_get_fewer() -> None:
    given = shares(list(TARGETS), 100_000)
    assert sum(given.values()) == 100_000
    assert 0 < given["connection"] < given["request"] < given["cursor"]
