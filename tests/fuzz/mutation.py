"""Bytes from other bytes: for where no coverage guides the way. The same seed gives the same inputs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from random import Random

_ODD = (0, 9, 10, 11, 13, 32, 34, 44, 58, 59, 92, 123, 125, 127, 128, 255)


def inputs(corpus: Sequence[bytes], words: Sequence[bytes], seed: int, most: int) -> Iterator[bytes]:
    """Each of the corpus as it is, then mutations of them without end; of `most` bytes at most."""
    chance = Random(seed)
    yield from corpus
    seeds = [*corpus, *words, b""]
    while True:
        data = bytearray(chance.choice(seeds))
        for _ in range(1 + int(chance.expovariate(0.5))):
            _mutate(data, chance, seeds, words)
        yield bytes(data[:most])


def _mutate(data: bytearray, chance: Random, seeds: Sequence[bytes], words: Sequence[bytes]) -> None:
    """One change, somewhere."""
    at = chance.randrange(len(data) + 1)
    end = min(len(data), at + 1 + int(chance.expovariate(0.2)))
    match chance.randrange(9):
        case 0:
            data[at:at] = chance.choice(words)
        case 1:
            data[at:end] = chance.choice(words)
        case 2:
            del data[at:end]
        case 3:
            data[at:at] = bytes([chance.choice(_ODD)])
        case 4:
            data[at:end] = bytes(chance.randrange(256) for _ in range(end - at))
        case 5 if at < len(data):
            data[at] ^= 1 << chance.randrange(8)
        case 6:
            data[at:at] = data[at:end] * chance.choice((1, 2, 30, 300))
        case 7:
            other = chance.choice(seeds)
            data[at:] = other[chance.randrange(len(other) + 1) :]
        case _:
            data += chance.choice(words)
