"""TensorFlow: tf.train.Checkpoint through its CheckpointManager, on variables."""

import numpy as np
import tensorflow as tf

from adapters import Peer

KEY = "state/{}/.ATTRIBUTES/VARIABLE_VALUE"  # a dot in a name is written twice


class Checkpoint(Peer):
    asynchronous = False

    def __init__(self, state, directory):
        super().__init__(state, directory)
        self.variables = {name: tf.Variable(array) for name, array in state.items()}
        self.checkpoint = tf.train.Checkpoint(state=self.variables)
        self.manager = None
        self.options = tf.train.CheckpointOptions(experimental_enable_async_checkpoint=self.asynchronous)

    def prefix(self, step):
        return str(self.path(step) / "state")

    def save(self, step):
        self.path(step).mkdir(parents=True)
        self.checkpoint.write(self.prefix(step), options=self.options)

    def finish(self):
        self.checkpoint.sync()

    def _get(self, reader, name):
        return np.asarray(reader.get_tensor(KEY.format(name.replace(".", ".."))))

    def restore(self, step):
        reader = tf.train.load_checkpoint(self.prefix(step))
        return {name: self._get(reader, name) for name in self.variables}

    def restore_existing(self, step):
        self.checkpoint.read(self.prefix(step)).assert_consumed()

    def restore_leaf(self, step, name):
        return self._get(tf.train.load_checkpoint(self.prefix(step)), name)

    def current(self, name):
        return self.variables[name].numpy()

    def open(self):
        return tf.train.CheckpointManager(self.checkpoint, str(self.directory), max_to_keep=None)

    def save_managed(self, step):
        self.manager = self.manager or self.open()
        self.manager.save(checkpoint_number=step)

    def open_and_list(self):
        return [int(path.rpartition("-")[2]) for path in self.open().checkpoints]

    def invert(self):
        for variable in self.variables.values():
            kind = tf.uint32 if variable.dtype == tf.float32 else tf.uint16
            variable.assign(tf.bitcast(tf.bitwise.invert(tf.bitcast(variable, kind)), variable.dtype))


class AsyncCheckpoint(Checkpoint):
    asynchronous = True
