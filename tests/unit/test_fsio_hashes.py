"""The digest of a file and those of its blocks in one pass, held against hashlib."""

from __future__ import annotations

import hashlib
import os
import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airgap.exporter.digests import Digester
from airgap.format.names import BLOCK_SIZE
from airgap.fsio import hashes
from airgap.fsio.hashes import FileHash, file_hash, in_one_pass

one_pass = pytest.mark.skipif(not in_one_pass(), reason="no SHA instructions, or no extension")


def digests(hasher: FileHash, blocks: list[list[bytes]]) -> tuple[list[str], str]:
    return [hasher.block(map(memoryview, parts)) for parts in blocks], hasher.hexdigest()


def expected(blocks: list[list[bytes]]) -> tuple[list[str], str]:
    whole = [b"".join(parts) for parts in blocks]
    return [hashlib.sha256(block).hexdigest() for block in whole], hashlib.sha256(b"".join(whole)).hexdigest()


@one_pass
@given(st.lists(st.lists(st.binary(max_size=300), max_size=5), max_size=5), st.binary(max_size=200))
def test_blocks_in_whole_pieces_and_a_last_one_of_any_length_in_parts_of_any_length(blocks, last) -> None:
    for parts in blocks:
        parts.append(bytes(-sum(map(len, parts)) % 64))
    assert digests(file_hash(), [*blocks, [last]]) == expected([*blocks, [last]])


@one_pass
@pytest.mark.parametrize("size", range(130))
def test_every_length_around_the_padding(size: int) -> None:
    content = os.urandom(size)
    assert digests(file_hash(), [[content]]) == expected([[content]])


@one_pass
def test_the_example_of_the_standard() -> None:
    of_abc = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    assert digests(file_hash(), [[b"abc"]]) == ([of_abc], of_abc)


@one_pass
def test_a_block_behind_one_that_had_to_be_the_last_is_refused() -> None:
    hasher = file_hash()
    hasher.block([memoryview(b"short")])
    assert hasher.block([]) == hashlib.sha256().hexdigest()
    with pytest.raises(ValueError, match="only the last block"):
        hasher.block([memoryview(b"more")])
    assert hasher.hexdigest() == hashlib.sha256(b"short").hexdigest()


@one_pass
def test_a_part_may_be_overwritten_once_it_was_taken_in() -> None:
    buffer = bytearray(100)

    def parts():
        for byte in range(5):
            buffer[:] = bytes([byte]) * 100
            yield memoryview(buffer)

    assert file_hash().block(parts()) == hashlib.sha256(b"".join(bytes([byte]) * 100 for byte in range(5))).hexdigest()


@one_pass
@pytest.mark.parametrize("wrong", [(b"", b""), (bytes(64), bytes(63)), (bytes(65), bytes(64))])
def test_the_extension_takes_two_states_and_whole_pieces_only(wrong: tuple[bytes, bytes]) -> None:
    from airgap.native import _sha256

    with pytest.raises(ValueError):
        _sha256.absorb(*wrong)


@one_pass
def test_an_extension_that_counts_wrong_is_not_used(monkeypatch) -> None:
    from airgap.native import _sha256

    assert hashes._right(_sha256.absorb)
    assert not hashes._right(lambda states, data: _sha256.absorb(states, bytes(len(data))))
    assert not hashes._right(lambda states, data: _sha256.absorb(states, data)[:32] + bytes(32))


def test_without_the_instructions_the_file_has_its_digest_and_blocks_are_left_to_others() -> None:
    blocks = [[b"a", b"b"], [b"c"]]
    assert digests(FileHash(None), blocks) == (["", ""], expected(blocks)[1])


@pytest.mark.parametrize("able", [pytest.param(True, marks=one_pass), False])
def test_volumes_have_the_same_digests_with_and_without_the_instructions(able, tmp_path, monkeypatch) -> None:
    """Two volumes that fill up from the end to the front, from several threads."""
    if not able:
        monkeypatch.setattr(hashes, "_ABSORB", None)
    contents = [os.urandom(2 * BLOCK_SIZE + 512), os.urandom(1024)]
    files = [os.open(tmp_path / str(number), os.O_RDWR | os.O_CREAT) for number in range(2)]
    digester = Digester(files, [len(content) for content in contents])
    digester.start()
    stretches = [(number, at) for number, content in enumerate(contents) for at in range(0, len(content), 5 << 20)]

    def write(some: list[tuple[int, int]]) -> None:
        for number, at in some:
            part = contents[number][at : at + (5 << 20)]
            os.pwrite(files[number], part, at)
            digester.wrote(number + 1, at, len(part))

    threads = [threading.Thread(target=write, args=(stretches[::-1][i::2],)) for i in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    digester.finish()
    for fd in files:
        os.close(fd)
    blocks = [[content[at : at + BLOCK_SIZE] for at in range(0, len(content), BLOCK_SIZE)] for content in contents]
    assert digester.volumes == [hashlib.sha256(content).hexdigest() for content in contents]
    assert digester.blocks == [[hashlib.sha256(block).hexdigest() for block in one] for one in blocks]
