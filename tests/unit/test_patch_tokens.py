"""gzip to tokens and back through the readers: what the tokens are, what is refused and with what words."""

from __future__ import annotations

import subprocess
import sys

import pytest

from airgap.errors import Damaged
from airgap.oci.stores import Reader
from airgap.oci.verify import BytesReader, read_all
from airgap.patch import pydecode, pyencode, tokens
from airgap.patch.tokens import GzipReader, TokenReader, Unrepresentable
from tests.support import gzipkinds
from tests.support.deflatebits import HEADER, TRAILER, BitWriter, fixed_litlen, member

GOOD = gzipkinds.representable()
REFUSED = gzipkinds.refused()
LIMIT = 1 << 24

#: The tokens of an empty fixed block's member, up to its symbols.
START = b"\x01\x0a" + HEADER + b"\x03"
REST = TRAILER + b"\0"


class Dripping:
    """A ``Reader`` that gives at most ``size`` bytes at a time."""

    def __init__(self, content: bytes, size: int) -> None:
        self._reader = BytesReader(content)
        self._size = size
        self.closed = False

    def readinto(self, buffer: memoryview, /) -> int:
        return self._reader.readinto(buffer[: self._size])

    def close(self) -> None:
        self.closed = True


def to_tokens(data: bytes) -> bytes:
    return read_all(TokenReader(BytesReader(data)), LIMIT, "")


def to_gzip(data: bytes) -> bytes:
    return read_all(GzipReader(BytesReader(data)), LIMIT, "")


def slowly(reader: Reader, size: int) -> bytes:
    made = bytearray()
    buffer = memoryview(bytearray(size))
    while count := reader.readinto(buffer):
        made += buffer[:count]
    return bytes(made)


@pytest.fixture(params=["chosen", "python"], autouse=True)
def _both_codecs(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every test here once with the codec that is used where it runs, and once with the plain Python one."""
    if request.param == "python":
        monkeypatch.setattr(tokens, "HAS_EXTENSION", False)


@pytest.mark.parametrize("kind", GOOD)
def test_gzip_of_every_kind_comes_back_bit_for_bit(kind):
    assert to_gzip(to_tokens(GOOD[kind])) == GOOD[kind]


@pytest.mark.parametrize("kind", REFUSED)
def test_what_tokens_cannot_say_is_refused_with_the_reason(kind):
    data, reason = REFUSED[kind]
    with pytest.raises(Unrepresentable) as caught:
        to_tokens(data)
    assert reason in caught.value.got
    assert isinstance(caught.value, Damaged)


@pytest.mark.parametrize("size", [1, 7, 300])
@pytest.mark.parametrize("kind", ["members", "flushes", "all fields", "run of 255", "far", "trailing 1f 8b"])
def test_tokens_do_not_depend_on_the_sizes_of_reads(kind, size):
    made = slowly(TokenReader(Dripping(GOOD[kind], size)), size)
    assert made == to_tokens(GOOD[kind])
    assert slowly(GzipReader(Dripping(made, size)), size) == GOOD[kind]


def test_tokens_of_a_fixed_block_are_as_documented():
    codes = fixed_litlen()
    bits = BitWriter().put(1, 1).put(1, 2)
    bits.code(codes[ord("a")]).code(codes[ord("b")])
    bits.code(codes[257]).code((1, 5))  # length 3, distance 2
    bits.code(codes[285]).code((29, 5)).put(8191, 13)  # length 258, distance 32768
    bits.code(codes[ord("c")]).code(codes[256])
    expected = START + b"\x02ab\x02\0\x00" + b"\0\x00\x80\xff" + b"\x01c\0\0" + REST
    assert to_tokens(member(bits)) == expected


def test_a_literal_run_of_255_is_a_group_of_its_own():
    codes = fixed_litlen()
    bits = BitWriter().put(1, 1).put(1, 2)
    for _ in range(255):
        bits.code(codes[ord("x")])
    assert to_tokens(member(bits.code(codes[256]))) == START + b"\xff" + b"x" * 255 + b"\0\0\0" + REST


def test_tokens_of_a_dynamic_block_hold_its_header_bits_as_they_are():
    data = GOOD["lone end of block"]
    made = to_tokens(data)
    bits = int.from_bytes(data[10:-8], "little") >> 3
    count = 5 + 5 + 4 + 19 * 3 + 258 * 4
    header = (bits & ((1 << count) - 1)).to_bytes((count + 7) // 8, "little")
    number = bytes([count & 0x7F | 0x80, count >> 7])
    assert made == b"\x01\x0a" + HEADER + b"\x05" + number + header + b"\0\0\0" + REST


def test_tokens_of_a_stored_block_are_its_length_and_bytes():
    data = HEADER + b"\x01\x03\0\xfc\xffabc" + TRAILER
    assert to_tokens(data) == b"\x01\x0a" + HEADER + b"\x01\x03\0abc" + REST


def test_what_follows_the_last_member_is_kept_as_it_is():
    assert to_tokens(GOOD["one byte"] + b"garbage") == to_tokens(GOOD["one byte"])[:-1] + b"\x02garbage"


@pytest.mark.parametrize("extra", [0, 1])
def test_a_gzip_header_has_128_kib_at_most(extra):
    name = b"n" * (128 * 1024 - 11 + extra) + b"\0"
    data = gzipkinds.headed(8, name)
    if extra:
        with pytest.raises(Unrepresentable):
            to_tokens(data)
    else:
        assert slowly(GzipReader(Dripping(to_tokens(data), 50_000)), LIMIT) == data
        assert slowly(TokenReader(Dripping(data, 50_000)), LIMIT) == to_tokens(data)


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "too early"),
        (b"\0", "unknown record"),
        (b"\x02tail", "unknown record"),
        (b"\x03", "unknown record"),
        (START + b"\0\0\0" + TRAILER, "too early"),
        (START + b"\0\0\0" + TRAILER + b"\x03", "unknown record"),
        (START + b"\0\0\0" + TRAILER + b"\x02", "tail"),
        (START + b"\0\0\0" + TRAILER + b"\x02\x1f\x8b\x08", "tail"),
        (START + b"\0\0\0" + REST + b"more", "after the end"),
        (b"\x01\x8a\0" + START[2:] + b"\0\0\0" + REST, "number"),
        (b"\x01\x80\x80\x80\x01" + bytes(99), "number"),
        (b"\x01\x09" + START[2:] + b"\0\0\0" + REST, "wrong length"),
        (b"\x01\x0b" + START[2:] + b"\0\0\0" + REST, "wrong length"),
        (b"\x01\x81\x80\x08" + HEADER, "wrong length"),
        (b"\x01\x0a" + b"hello, you", "not gzip"),
        (START[:-1] + b"\x06", "unknown type"),
        (START[:-1] + b"\x08", "unknown type"),
        (START + b"\0\x01\x80\0", "32768"),
        (START[:-1] + b"\x05\x81\x20", "wrong length"),
        (START[:-1] + b"\x05\x08\0", "wrong length"),
    ],
)
def test_tokens_that_no_gzip_has_are_refused_with_the_reason(data, reason):
    with pytest.raises(Damaged) as caught:
        to_gzip(data)
    assert reason in caught.value.got


def _dynamic(kind: str, symbols: bytes, *, more_bits: int = 0, padding: int = 0) -> bytes:
    """The tokens of a kind's dynamic block, with other symbols, some bits more or other padding in its header."""
    made = to_tokens(GOOD[kind])
    count = made[13] & 0x7F | made[14] << 7
    size = (count + 7) // 8
    header = bytearray(made[15 : 15 + size])
    header[-1] |= padding
    count += more_bits
    return made[:13] + bytes([count & 0x7F | 0x80, count >> 7]) + header + symbols + REST


def test_symbols_that_the_block_has_no_code_for_are_refused():
    assert to_gzip(_dynamic("no distance", b"\x01a\0\0"))
    for symbols in (b"\x01b\0\0", b"\0\x01\0\0\0\0\0", b"\xff" + b"b" * 255 + b"\0\0\0"):
        with pytest.raises(Damaged) as caught:
            to_gzip(_dynamic("no distance", symbols))
        assert "no code" in caught.value.got


def test_length_258_is_not_written_with_the_symbol_below_its_own():
    assert to_gzip(_dynamic("257 but not 258", b"\0\x01\0\xfe\0\0\0")) == GOOD["257 but not 258"]
    with pytest.raises(Damaged) as caught:
        to_gzip(_dynamic("257 but not 258", b"\0\x01\0\xff\0\0\0"))
    assert "no code" in caught.value.got


@pytest.mark.parametrize(("change", "reason"), [({"more_bits": 1}, "wrong length"), ({"padding": 0x80}, "padding")])
def test_the_header_of_a_dynamic_block_must_be_exact(change, reason):
    assert to_gzip(_dynamic("lone end of block", b"\0\0\0")) == GOOD["lone end of block"]
    with pytest.raises(Damaged) as caught:
        to_gzip(_dynamic("lone end of block", b"\0\0\0", **change))
    assert reason in caught.value.got


def test_nothing_more_comes_after_the_end():
    reader = TokenReader(BytesReader(GOOD["one byte"]))
    assert slowly(reader, 100)
    assert reader.readinto(memoryview(bytearray(1))) == 0


def test_closing_closes_what_is_read_from():
    for kind in (TokenReader, GzipReader):
        source = Dripping(b"", 1)
        kind(source).close()
        assert source.closed


def test_a_codec_that_refused_goes_on_refusing():
    for codec in (tokens.token_decoder(), tokens.token_encoder()):
        for reason in ("not gzip|unknown record", "after an error"):
            with pytest.raises(ValueError, match=reason):
                codec.step(b"\xff", False)


def test_a_step_waits_for_a_whole_gzip_header_but_not_for_ever():
    endless = gzipkinds.headed(8, b"n" * (128 * 1024))
    assert tokens.token_decoder().step(endless[: 128 * 1024 - 1], False) == (0, b"")
    with pytest.raises(ValueError, match="wrong length"):
        tokens.token_decoder().step(endless[: 128 * 1024], False)


def test_the_plain_python_codec_can_be_asked_for():
    program = "from airgap.patch import tokens; print(type(tokens.token_decoder()).__module__, tokens.HAS_EXTENSION)"
    done = subprocess.run(
        [sys.executable, "-c", program], env={"AIRGAP_PURE_PYTHON": "1"}, capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == ["airgap.patch.pydecode", "False"]


def test_the_codec_is_the_plain_python_one_without_an_extension(monkeypatch):
    monkeypatch.setattr(tokens, "HAS_EXTENSION", False)
    assert isinstance(tokens.token_decoder(), pydecode.TokenDecoder)
    assert isinstance(tokens.token_encoder(), pyencode.TokenEncoder)
