"""tensorstore by itself: zarr3 in directories, or in OCDBT. The call returns when all arrays have been copied."""

import ml_dtypes
import numpy as np
import tensorstore as ts

from adapters import Peer


class Zarr3(Peer):
    codecs = [{"name": "bytes", "configuration": {"endian": "little"}}, {"name": "zstd", "configuration": {"level": 1}}]
    pending = ()

    def kvstore(self, step, name):
        return {"driver": "file", "path": f"{self.path(step)}/{name}/"}

    def spec(self, step, name):
        return {"driver": "zarr3", "kvstore": self.kvstore(step, name)}

    def schema(self, array):
        """A chunk is a leaf, as in Orbax."""
        kind = "bfloat16" if array.dtype == np.dtype(ml_dtypes.bfloat16) else "float32"
        grid = {"name": "regular", "configuration": {"chunk_shape": array.shape}}
        return {"metadata": {"shape": array.shape, "data_type": kind, "chunk_grid": grid, "codecs": self.codecs}}

    def save(self, step):
        self.finish()
        context = ts.Context()
        stores = [
            ts.open(self.spec(step, name) | self.schema(array), create=True, context=context)
            for name, array in self.state.items()
        ]
        self.pending = [store.result().write(array) for store, array in zip(stores, self.state.values())]
        for write in self.pending:
            write.copy.result()

    def finish(self):
        for write in self.pending:
            write.commit.result()
        self.pending = ()

    def _read(self, step, names):
        context = ts.Context()
        stores = [ts.open(self.spec(step, name), open=True, context=context) for name in names]
        reads = [store.result().read() for store in stores]
        return {name: read.result() for name, read in zip(names, reads)}

    def restore(self, step):
        return self._read(step, list(self.state))

    def restore_existing(self, step):
        context = ts.Context()
        stores = [ts.open(self.spec(step, name), open=True, context=context) for name in self.state]
        copies = [ts.array(array).write(store.result()) for store, array in zip(stores, self.state.values())]
        for copy in copies:
            copy.result()

    def restore_leaf(self, step, name):
        return self._read(step, [name])[name]


class Ocdbt(Zarr3):
    """In one transaction, without compression."""

    codecs = Zarr3.codecs[:1]

    def kvstore(self, step, name):
        return {"driver": "ocdbt", "base": f"file://{self.path(step)}/", "path": f"{name}/"}

    def save(self, step):
        self.finish()
        context = ts.Context()
        self.transaction = ts.Transaction()
        stores = [
            ts.open(self.spec(step, name) | self.schema(array), create=True, context=context,
                    transaction=self.transaction)
            for name, array in self.state.items()
        ]
        writes = [store.result().write(array) for store, array in zip(stores, self.state.values())]
        for write in writes:
            write.copy.result()
        self.pending = [self.transaction.commit_async()]

    def finish(self):
        for commit in self.pending:
            commit.result()
        self.pending = ()
