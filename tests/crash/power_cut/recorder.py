"""An nbdkit plugin: a disk that keeps a record of what is written to it, and of when it is told to flush.

  nbdkit python recorder.py image=FILE record=FILE

The image is the disk. An entry of the record is 8 bytes of kind, an offset (or a number) and a length of 8 bytes each,
and the data: W for a write, F for a flush; others append entries of their own. An entry is there before its request
is answered.
"""

import os
import struct

import nbdkit

API_VERSION = 2
ENTRY = struct.Struct("<8sqQ")

files = {}


def config(key, value):
    flags = os.O_RDWR if key == "image" else os.O_WRONLY | os.O_APPEND
    files[key] = os.open(value, flags | os.O_CLOEXEC)


def thread_model():
    return nbdkit.THREAD_MODEL_SERIALIZE_ALL_REQUESTS


def open(readonly):  # pylint: disable=redefined-builtin
    return files


def get_size(_):
    return os.fstat(files["image"]).st_size


def pread(_, into, offset, flags):
    os.preadv(files["image"], [into], offset)


def pwrite(_, data, offset, flags):
    os.writev(files["record"], [ENTRY.pack(b"W", offset, len(data)), data])
    os.pwrite(files["image"], data, offset)


def flush(_, flags):
    os.write(files["record"], ENTRY.pack(b"F", 0, 0))
