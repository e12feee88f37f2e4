"""TensorFlow Federated: FileProgramStateManager, whose save is awaited."""

import asyncio

import numpy as np
import tensorflow_federated as tff

from adapters import Peer


class FileProgramStateManager(Peer):
    def __init__(self, state, directory):
        super().__init__(state, directory)
        self.manager = self.open()

    def open(self):
        return tff.program.FileProgramStateManager(self.directory, keep_total=0)

    def path(self, step):
        return self.directory / f"program_state_{step}"

    def save(self, step):
        asyncio.run(self.manager.save(self.state, step))

    def restore(self, step):
        loaded = asyncio.run(self.open().load(step, self.state))
        return {name: np.asarray(loaded[name]) for name in self.state}

    def open_and_list(self):
        return asyncio.run(self.open().get_versions())
