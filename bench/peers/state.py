"""The state that is saved: {name: numpy array}, read from the safetensors file that milepost_peer writes."""

import json
import mmap

import ml_dtypes
import numpy as np

DTYPES = {"F32": np.dtype(np.float32), "BF16": np.dtype(ml_dtypes.bfloat16)}
SMALL_LEAF = 256  # values; as in wide_state.cc
PAGE = 4096


def _aligned(shape, dtype):
    """Memory on a page boundary, as frameworks allocate it."""
    count = int(np.prod(shape))
    return np.frombuffer(mmap.mmap(-1, max(1, count * dtype.itemsize)), dtype, count).reshape(shape)


def read_state(path):
    state = {}
    with open(path, "rb") as file:
        header_bytes = int.from_bytes(file.read(8), "little")
        header = json.loads(file.read(header_bytes))
        for name in sorted(set(header) - {"__metadata__"}):
            entry = header[name]
            state[name] = _aligned(entry["shape"], DTYPES[entry["dtype"]])
            file.seek(8 + header_bytes + entry["data_offsets"][0])
            file.readinto(bytes_of(state[name]))
    return state


def small_leaves(state, count):
    leaves = {}
    for array in state.values():
        if array.dtype == np.float32:
            flat = array.reshape(-1)
            for at in range(0, flat.size - SMALL_LEAF + 1, SMALL_LEAF):
                if len(leaves) == count:
                    return leaves
                leaves[f"block{len(leaves) // 100}.w{len(leaves) % 100}"] = flat[at : at + SMALL_LEAF]
    return leaves


def bytes_of(array):
    return array.reshape(-1).view(np.uint8)


def byte_count(state):
    return sum(array.nbytes for array in state.values())


def invert(state):
    """Turns all bits around; the second time restores them."""
    for array in state.values():
        view = bytes_of(array)
        np.invert(view, out=view)


def same_bytes(state, other):
    return state.keys() == other.keys() and all(
        np.array_equal(bytes_of(array), bytes_of(np.ascontiguousarray(other[name]))) for name, array in state.items()
    )


def touch(arrays):
    """Reads a byte of every page of them; in as little of Python's time as can be, since they may be many."""
    for array in arrays:
        if array.nbytes <= PAGE:
            array.item(0)
        elif array.flags.c_contiguous:
            bytes_of(array)[::PAGE].max()
