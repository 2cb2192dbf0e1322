"""Chunks as bytes: those of Zarr, bit for bit; and rounding of mantissas, against exact arithmetic."""

import math
from fractions import Fraction

import numpy as np
import pytest
import zarr
from hypothesis import given
from hypothesis import strategies as st
from zarr.codecs import BloscCodec, Crc32cCodec, GzipCodec, ZstdCodec

from stochbind.engine.chunks import chunk_key, encode_chunk, round_mantissa, write_chunk
from stochbind.engine.places import place
from stochbind.errors import PlanError, StoreError

CODECS = {
    "none": (),
    "lz4 shuffle": (BloscCodec(cname="lz4", clevel=1, shuffle="shuffle"),),
    "lz4 bitshuffle": (BloscCodec(cname="lz4", clevel=1, shuffle="bitshuffle"),),
    "blosc zstd": (BloscCodec(cname="zstd", clevel=1, shuffle="shuffle"),),
    "blosc zstd bitshuffle": (BloscCodec(cname="zstd", clevel=1, shuffle="bitshuffle"),),
    "zstd": (ZstdCodec(level=1),),
}
KINDS = {
    "normal": (np.random.default_rng(1).normal(size=(70, 300, 2, 1)), (64, 128, 2, 1), np.nan),
    "constant": (np.full((70, 300, 2), np.nan), (32, 256, 2), np.nan),
    "bytes": (np.random.default_rng(1).integers(0, 256, size=(2, 2, 16)).astype("u1"), (1, 1, 16), 0),
    "integers": (np.arange(1000).reshape(10, 100), (10, 64), -1),
    "float32": (np.random.default_rng(1).normal(size=(7, 9)).astype("f4"), (4, 4), np.nan),
}


@pytest.mark.parametrize("codec", CODECS)
@pytest.mark.parametrize("kind", KINDS)
def test_files_are_those_of_zarr(tmp_path, kind, codec):
    """All chunks, those at the ends too: byte for byte the same, and Zarr reads them."""
    data, chunks, fill = KINDS[kind]

    def array(path):
        group = zarr.create_group(path)
        return group.create_array(
            "deep/x", shape=data.shape, chunks=chunks, dtype=data.dtype, fill_value=fill,
            compressors=(*CODECS[codec], Crc32cCodec()),
            chunk_key_encoding={"name": "default", "separator": "/" if kind == "normal" else "."},
        ).with_config({"write_empty_chunks": True})  # fmt: skip

    theirs, mine = array(tmp_path / "theirs"), array(tmp_path / "mine")
    theirs[...] = data
    home = place(tmp_path / "mine")
    for index in np.ndindex(theirs.cdata_shape):
        part = data[tuple(slice(i * n, (i + 1) * n) for i, n in zip(index, chunks, strict=True))]
        write_chunk(home, mine, index, np.asfortranarray(part))  # in whatever order it lies in memory
    assert home.keys() == place(tmp_path / "theirs").keys()
    assert chunk_key(mine, (0,) * data.ndim) in home.keys("deep")
    for key in home.keys("deep"):
        assert home.read(key) == place(tmp_path / "theirs").read(key), key
    np.testing.assert_array_equal(zarr.open_array(tmp_path / "mine" / "deep" / "x")[...], data)


@pytest.mark.parametrize("codec", CODECS)
def test_a_flipped_bit_is_noticed(tmp_path, codec):
    rng = np.random.default_rng(2)
    data = rng.normal(size=(32, 32))
    array = zarr.create_array(
        tmp_path / "a", shape=(32, 32), chunks=(32, 32), dtype="f8", compressors=(*CODECS[codec], Crc32cCodec())
    )
    good = bytearray(b"".join(encode_chunk(array, data)))
    home = place(tmp_path / "a")
    for bit in rng.choice(8 * len(good), 20, replace=False):
        bad = bytearray(good)
        bad[bit // 8] ^= 1 << (bit % 8)
        home.write("c/0/0", bad)
        with pytest.raises(ValueError, match="checksum"):
            array[...]
    home.write("c/0/0", good)
    np.testing.assert_array_equal(array[...], data)


@pytest.mark.parametrize(
    "options",
    [
        {"compressors": (ZstdCodec(level=1),)},  # no checksum
        {"compressors": (GzipCodec(), Crc32cCodec())},
        {"compressors": (ZstdCodec(), ZstdCodec(), Crc32cCodec())},
        {"compressors": Crc32cCodec(), "shards": (8,)},
    ],
)
def test_other_codecs_are_refused(options):
    array = zarr.create_array(zarr.storage.MemoryStore(), shape=(8,), chunks=(4,), dtype="f8", **options)
    with pytest.raises(StoreError, match="does not write"):
        encode_chunk(array, np.zeros(4))


def exactly_rounded(value, keep_bits):
    """By rational numbers: Python rounds fractions to even."""
    mantissa, exponent = math.frexp(value)  # 0.5 <= |mantissa| < 1: the first bit is not written down
    whole = round(Fraction(mantissa) * 2 ** (keep_bits + 1))
    return math.ldexp(whole, exponent - keep_bits - 1)


@given(st.floats(min_value=2.0**-1000, max_value=2.0**1000), st.sampled_from([-1.0, 1.0]), st.integers(1, 52))
def test_rounding_is_exact(size, sign, keep_bits):
    value = sign * size
    (rounded,) = round_mantissa(np.array([value]), keep_bits)
    assert rounded == exactly_rounded(value, keep_bits)
    assert abs(Fraction(rounded) - Fraction(value)) <= Fraction(abs(value)) / 2 ** (keep_bits + 1)
    assert round_mantissa(np.array([rounded]), keep_bits)[0] == rounded


@pytest.mark.parametrize("keep_bits", [1, 10, 51])
def test_ties_go_to_even(keep_bits):
    """Halfway between two neighbours, up for the odd one and down for the even one; truncation would differ."""
    unit = 2.0**-keep_bits
    even, odd = 1.0, 1.0 + unit
    data = np.array([even + unit / 2, odd + unit / 2, -(even + unit / 2), -(odd + unit / 2)])
    np.testing.assert_array_equal(round_mantissa(data, keep_bits), [1.0, 1 + 2 * unit, -1.0, -1 - 2 * unit])


def test_what_is_special_stays():
    odd_nan = np.array([0x7FFFFFFFFFFFFFFF, 0xFFF0000000000001], np.uint64).view(np.float64)
    data = np.concatenate([[np.inf, -np.inf, np.nan, 0.0, -0.0, np.finfo(float).max, -np.finfo(float).max], odd_nan])
    data = np.tile(data, 3000)  # several pieces
    rounded = round_mantissa(data, 8)
    assert rounded is not data
    finite = np.isfinite(data)
    np.testing.assert_array_equal(np.isfinite(rounded), finite)
    np.testing.assert_array_equal(rounded[~finite].view(np.uint64), data[~finite].view(np.uint64))
    np.testing.assert_array_equal(np.signbit(rounded), np.signbit(data))
    np.testing.assert_allclose(rounded[finite], data[finite], rtol=2.0**-8)
    assert not (rounded[finite].view(np.uint64) & np.uint64(2**44 - 1)).any()
    np.testing.assert_array_equal(round_mantissa(data[finite], 52), data[finite])
    smallest = np.array([5e-324, 3 * 5e-324, 1e-310])
    assert np.all(np.abs(round_mantissa(smallest, 20) - smallest) <= 2.0**-1022 * 2.0**-21)


def test_shape_and_order_are_kept():
    data = np.random.default_rng(3).normal(size=(30, 4, 500)).transpose(2, 0, 1)
    rounded = round_mantissa(data, 12)
    assert rounded.shape == data.shape
    assert rounded.flags.c_contiguous
    np.testing.assert_allclose(rounded, data, rtol=2.0**-13)
    assert np.abs(rounded / data - 1).max() > 2.0**-13.5  # the bound is close


@pytest.mark.parametrize("keep_bits", [8, 16, 24])
def test_rounding_leaves_variances_alone(keep_bits):
    """Errors of either sign are equally likely: a variance moves by far less than the bound, which truncation meets."""
    data = np.random.default_rng(4).normal(size=2**18)
    rounded = round_mantissa(data, keep_bits)
    bound = 2.0**-keep_bits
    moved = abs(rounded.var() / data.var() - 1)
    assert moved < 0.01 * bound
    drop = np.uint64(52 - keep_bits)
    truncated = (data.view(np.uint64) >> drop << drop).view(np.float64)
    assert abs(truncated.var() / data.var() - 1) > 0.3 * bound


@pytest.mark.parametrize("keep_bits", [0, 53, 1.5, "8"])
def test_bits_that_cannot_be_are_refused(keep_bits):
    with pytest.raises(PlanError, match="`keep_bits`"):
        round_mantissa(np.ones(3), keep_bits)
