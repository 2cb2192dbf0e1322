"""Chunks of arrays as bytes: the very files that Zarr would write, made without its copies and its event loop.

Written by Zarr, a chunk is copied three times and costs about a millisecond; so is each of its small neighbours, the
checkpoint and the entry of the ledger. Here a chunk becomes bytes, and `Place.write_all` puts those of a unit in place
together. Every chunk ends with a checksum (CRC-32C).

Numbers may be rounded before: the last bits of the mantissa of a thermal trajectory are noise, which no codec makes
smaller. With zeros in their place chunks shrink.
"""

from __future__ import annotations

from typing import Any

import google_crc32c
import numcodecs  # type: ignore[import-untyped]
import numpy as np
import numpy.typing as npt
import zarr

from stochbind import checks
from stochbind.checks import FloatArray
from stochbind.engine.abstract_place import Bytes, Place
from stochbind.errors import PlanError, StoreError

#: Bits of the mantissa of a float64 that are written down.
MANTISSA_BITS = 52
_CRC_BYTES = 4
_SHUFFLES = {"noshuffle": 0, "shuffle": 1, "bitshuffle": 2}
#: Rounded at once, so that all of it stays in the cache.
_PIECE = 2**13


def write_chunk(place: Place, array: zarr.Array[Any], index: tuple[int, ...], data: npt.NDArray[Any]) -> None:
    """Write one whole chunk of an array, and flush it.

    Parameters
    ----------
    place : Place
        Where the store of the array lives.
    array : zarr.Array
        The array.
    index : tuple of int
        Which chunk, counted in chunks.
    data : array
        Its numbers; less than a chunk at the end of the array.

    Raises
    ------
    StoreError
        If the disk refuses, or the array has a codec that stochbind does not write.
    """
    place.write(chunk_key(array, index), encode_chunk(array, data))


def chunk_key(array: zarr.Array[Any], index: tuple[int, ...]) -> str:
    """Key of the file of a chunk, below the root of the store."""
    return f"{array.path}/{array.metadata.encode_chunk_key(index)}"


def encode_chunk(array: zarr.Array[Any], data: npt.NDArray[Any]) -> tuple[Bytes, Bytes]:
    """The content of the file of a chunk, byte for byte what Zarr writes: the numbers, and their checksum.

    Parameters
    ----------
    array : zarr.Array
        The array.
    data : array
        The numbers of a chunk, or fewer at the end of the array, where the rest is the fill value.

    Raises
    ------
    StoreError
        If the array has a codec that stochbind does not write.
    """
    compressor = _compressor(array, [codec.to_dict() for codec in array.metadata.codecs])  # type: ignore[union-attr]
    chunk = np.ascontiguousarray(data, array.dtype.newbyteorder("<"))
    if data.shape != array.chunks:
        chunk = np.full(array.chunks, array.fill_value, chunk.dtype)
        chunk[tuple(slice(length) for length in data.shape)] = data
    numbers = chunk.reshape(-1).view(np.uint8)
    content = numbers.data if compressor is None else compressor.encode(numbers)
    checksum = google_crc32c.value(numbers if compressor is None else content)
    return content, checksum.to_bytes(_CRC_BYTES, "little")


def _compressor(array: zarr.Array[Any], codecs: list[dict[str, Any]]) -> Any:
    """The codec between the numbers and the checksum, or None."""
    names = [codec["name"] for codec in codecs]
    if names[:1] != ["bytes"] or names[-1:] != ["crc32c"] or len(names) > 3 or array.shards is not None:
        raise StoreError(f"{array.path}: has the codecs {', '.join(names)}, which stochbind does not write.")
    if len(names) == 2:
        return None
    options = dict(codecs[1]["configuration"])
    if names[1] == "blosc":
        options["shuffle"] = _SHUFFLES[options["shuffle"]]
    elif names[1] != "zstd":
        raise StoreError(f"{array.path}: has the codec {names[1]}, which stochbind does not write.")
    return numcodecs.get_codec({"id": names[1], **options})


def round_mantissa(data: FloatArray, keep_bits: int) -> FloatArray:
    """Numbers with fewer bits in their mantissa: the nearest ones, ties to even.

    The relative error of each is at most ``2**-(keep_bits + 1)``, and that of a sum of squares, too, at most
    ``2**-keep_bits``; on average both are far smaller, as errors of either sign are equally likely. What is not finite
    stays as it is, and nothing finite becomes infinite.

    Parameters
    ----------
    data : array of float
        The numbers.
    keep_bits : int
        Bits of the mantissa to keep, 1 to 52; with 52 nothing changes.

    Returns
    -------
    array of float
        A copy.

    Raises
    ------
    PlanError
        If there can be no such number of bits.
    """
    keep_bits = checks.integer("keep_bits", keep_bits, minimum=1, maximum=MANTISSA_BITS, error=PlanError)
    result = np.array(data, dtype=np.float64, order="C")
    drop = np.uint64(MANTISSA_BITS - keep_bits)
    if drop == 0:
        return result
    one = np.uint64(1)
    below_half, mask = (one << (drop - one)) - one, ~((one << drop) - one)
    flat = result.reshape(-1)
    for start in range(0, flat.size, _PIECE):
        piece = flat[start : start + _PIECE]
        bits = piece.view(np.uint64)
        rounded = bits >> drop
        rounded &= one
        rounded += bits
        rounded += below_half
        rounded &= mask
        usual = np.abs(piece) < 2.0**1023  # others are not finite, or might become infinite
        if not usual.all():
            finite = np.isfinite(piece)
            rounded = np.where(usual, rounded, np.where(finite, bits & mask, bits))
        bits[...] = rounded
    return result
