"""Orbax: CheckpointManager on JAX arrays, which their users replace by donation, in place."""

import functools
import logging

import jax
import jax.numpy as jnp
import numpy as np
import orbax.checkpoint as ocp

from adapters import Peer

logging.getLogger("absl").setLevel(logging.ERROR)


@functools.partial(jax.jit, donate_argnums=0)
def inverted(array):
    kind = jnp.uint32 if array.dtype == jnp.float32 else jnp.uint16
    return jax.lax.bitcast_convert_type(~jax.lax.bitcast_convert_type(array, kind), array.dtype)


class Orbax(Peer):
    """StandardSave with its defaults: asynchronous, OCDBT, zarr with zstd."""

    def __init__(self, state, directory):
        super().__init__(state, directory)
        self.arrays = {name: jnp.array(array) for name, array in state.items()}
        jax.block_until_ready(self.arrays)
        self.manager = self.open()

    def handler(self):
        return ocp.StandardCheckpointHandler()

    def save_args(self):
        return ocp.args.StandardSave(self.arrays)

    def restore_args(self):
        return ocp.args.StandardRestore(jax.tree.map(ocp.utils.to_shape_dtype_struct, self.arrays))

    def open(self, handler=None):
        return ocp.CheckpointManager(
            self.directory, options=self.options(), item_handlers=handler or self.handler()
        )

    def options(self):
        return ocp.CheckpointManagerOptions()

    def save(self, step):
        self.manager.save(step, args=self.save_args())

    def finish(self):
        self.manager.wait_until_finished()

    def remove(self, step):
        self.manager.delete(step)

    def restore(self, step):
        with self.open() as manager:
            restored = manager.restore(step, args=self.restore_args())
        jax.block_until_ready(restored)
        return {name: np.asarray(array) for name, array in restored.items()}

    def restore_leaf(self, step, name):
        item = {name: ocp.utils.to_shape_dtype_struct(self.arrays[name])}
        wanted = ocp.args.PyTreeRestore(
            item, restore_args=ocp.checkpoint_utils.construct_restore_args(item), partial_restore=True
        )
        with self.open(ocp.PyTreeCheckpointHandler()) as manager:
            return np.asarray(manager.restore(step, args=wanted)[name])

    def open_and_list(self):
        with self.open() as manager:
            return manager.all_steps()

    def invert(self):
        for name, array in self.arrays.items():
            self.arrays[name] = inverted(array)
        jax.block_until_ready(self.arrays)

    def close(self):
        self.manager.close()


class OrbaxTuned(Orbax):
    """Without compression, which costs more than the disk gains here; zarr3; chunks that cores can share."""

    def options(self):
        return ocp.CheckpointManagerOptions(lightweight_initialize=True, enable_background_delete=True)

    def handler(self):
        return ocp.PyTreeCheckpointHandler(use_ocdbt=True, use_zarr3=True, use_compression=False)

    def save_args(self):
        return ocp.args.PyTreeSave(self.arrays)

    def restore_args(self):
        return ocp.args.PyTreeRestore(
            restore_args=ocp.checkpoint_utils.construct_restore_args(
                jax.tree.map(ocp.utils.to_shape_dtype_struct, self.arrays)
            )
        )

    def remove(self, step):
        super().remove(step)
        self.manager.wait_until_finished()
