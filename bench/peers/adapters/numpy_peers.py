"""numpy.save, a file for each array."""

import ml_dtypes
import numpy as np

from adapters import Peer

BFLOAT16 = np.dtype(ml_dtypes.bfloat16)


class NumpySave(Peer):
    """The format has no bfloat16: those go as the 16-bit integers that they are."""

    def save(self, step):
        self.path(step).mkdir(parents=True)
        for name, array in self.state.items():
            np.save(self.path(step) / f"{name}.npy", array.view(np.uint16) if array.dtype == BFLOAT16 else array)

    def _load(self, step, name, **options):
        loaded = np.load(self.path(step) / f"{name}.npy", **options)
        return loaded.view(BFLOAT16) if loaded.dtype == np.uint16 else loaded

    def restore(self, step):
        return {name: self._load(step, name) for name in self.state}

    def restore_existing(self, step):
        for name, array in self.state.items():
            np.copyto(array, self._load(step, name, mmap_mode="r"))

    def restore_leaf(self, step, name):
        return self._load(step, name)
