"""PyTorch: torch.save, torch.distributed.checkpoint, safetensors and torchsnapshot, on tensors that share memory with the
state."""

import contextlib
import os
import warnings

import ml_dtypes
import numpy as np
import torch

from adapters import Peer

BFLOAT16 = np.dtype(ml_dtypes.bfloat16)


def tensor_of(array):
    if array.dtype == BFLOAT16:
        return torch.from_numpy(array.view(np.int16)).view(torch.bfloat16)
    return torch.from_numpy(array)


def array_of(tensor):
    if tensor.dtype == torch.bfloat16:
        return tensor.view(torch.int16).numpy().view(BFLOAT16)
    return tensor.numpy()


class TorchPeer(Peer):
    def __init__(self, state, directory):
        super().__init__(state, directory)
        self.tensors = {name: tensor_of(array) for name, array in state.items()}

    def load(self, step, **options):
        raise NotImplementedError

    def restore(self, step):
        return {name: array_of(tensor) for name, tensor in self.load(step).items()}

    def restore_existing(self, step):
        for name, tensor in self.load(step).items():
            self.tensors[name].copy_(tensor)


class InPlacePeer(TorchPeer):
    """One that restores into tensors that are there, and so into new ones too."""

    def load_into(self, step, tensors):
        raise NotImplementedError

    def load(self, step):
        return self.load_into(step, {name: torch.empty_like(tensor) for name, tensor in self.tensors.items()})

    def restore_existing(self, step):
        self.load_into(step, self.tensors)


class TorchSave(TorchPeer):
    def save(self, step):
        self.path(step).mkdir(parents=True)
        torch.save(self.tensors, self.path(step) / "state.pt")

    def load(self, step, mmap=False):
        return torch.load(self.path(step) / "state.pt", weights_only=True, mmap=mmap)

    def restore_existing(self, step):
        for name, tensor in self.load(step, mmap=True).items():
            self.tensors[name].copy_(tensor)

    def restore_leaf(self, step, name):
        return array_of(self.load(step, mmap=True)[name].clone())


class TorchSaveTuned(TorchSave):
    """Without checksums of its own, and with mmap, which its documentation recommends for large files."""

    def __init__(self, state, directory):
        super().__init__(state, directory)
        torch.serialization.set_crc32_options(False)

    def load(self, step, mmap=True):
        return super().load(step, mmap)


class Safetensors(TorchPeer):
    def __init__(self, state, directory):
        super().__init__(state, directory)
        import safetensors.torch

        self.safetensors = safetensors

    def file(self, step):
        return self.path(step) / "state.safetensors"

    def save(self, step):
        self.path(step).mkdir(parents=True)
        self.safetensors.torch.save_file(self.tensors, self.file(step))

    def load(self, step):
        return self.safetensors.torch.load_file(self.file(step))

    def restore_leaf(self, step, name):
        with self.safetensors.safe_open(self.file(step), framework="pt") as opened:
            return array_of(opened.get_tensor(name).clone())


class DistributedCheckpoint(InPlacePeer):
    """dcp.save with its defaults; each file is flushed by it."""

    threads = 1

    def __init__(self, state, directory):
        super().__init__(state, directory)
        import torch.distributed.checkpoint as dcp

        warnings.filterwarnings("ignore", module="torch.distributed")
        self.dcp = dcp

    def writer(self, step):
        return self.dcp.FileSystemWriter(self.path(step), thread_count=self.threads)

    def save(self, step):
        self.dcp.save(self.tensors, storage_writer=self.writer(step), no_dist=True)

    def load_into(self, step, tensors):
        self.dcp.load(tensors, storage_reader=self.dcp.FileSystemReader(self.path(step)), no_dist=True)
        return tensors

    def restore_leaf(self, step, name):
        return array_of(self.load_into(step, {name: torch.empty_like(self.tensors[name])})[name])


class AsyncDistributedCheckpoint(DistributedCheckpoint):
    """dcp.async_save with its defaults: a fresh copy, then a thread."""

    options = {}
    pending = None

    def save(self, step):
        self.finish()  # as its documentation asks: one at a time
        self.pending = self.dcp.async_save(self.tensors, checkpoint_id=self.path(step), no_dist=True, **self.options)

    def finish(self):
        if self.pending is not None:
            getattr(self.pending, "upload_completion", self.pending).result()
            self.pending = None


class AsyncDistributedCheckpointTuned(AsyncDistributedCheckpoint):
    """With the copy kept from save to save, and as many writers as cores. Pinned memory needs a GPU's driver."""

    threads = os.cpu_count()

    def __init__(self, state, directory):
        super().__init__(state, directory)
        from torch.distributed.checkpoint.staging import DefaultStager, StagingOptions

        self.stager = DefaultStager(StagingOptions(False, False, self.staging_in_background, False))

    staging_in_background = False

    def save(self, step):
        self.finish()
        self.pending = self.dcp.async_save(
            self.tensors, storage_writer=self.writer(step), async_stager=self.stager, no_dist=True
        )

    def close(self):
        self.stager.close()


class AsyncDistributedCheckpointStaged(AsyncDistributedCheckpointTuned):
    """The copy too is made in the background: the state may change when it is complete."""

    staging_in_background = True

    def fence(self):
        if self.pending is not None:
            self.pending.staging_completion.result()


class AsyncDistributedCheckpointProcess(AsyncDistributedCheckpoint):
    """dcp.async_save in a process of its own, through shared memory that is kept; needs a process group."""

    def __init__(self, state, directory):
        super().__init__(state, directory)
        from torch.distributed.checkpoint.staging import DefaultStager, StagingOptions
        from torch.distributed.checkpoint.state_dict_saver import AsyncCheckpointerType

        os.environ.setdefault("MASTER_ADDR", "127.0.0.1")
        os.environ.setdefault("MASTER_PORT", "29511")
        torch.distributed.init_process_group("gloo", rank=0, world_size=1)
        self.stager = DefaultStager(StagingOptions(False, True, False, False))
        self.type = AsyncCheckpointerType.PROCESS

    def save(self, step):
        self.finish()
        self.pending = self.dcp.async_save(
            self.tensors, checkpoint_id=self.path(step), async_stager=self.stager, async_checkpointer_type=self.type
        )

    def close(self):
        self.stager.close()
        with contextlib.suppress(Exception):
            torch.distributed.destroy_process_group()


class TorchSnapshot(InPlacePeer):
    """async_take: copies what does not fit its memory budget first, then returns."""

    def __init__(self, state, directory):
        super().__init__(state, directory)
        import torchsnapshot

        self.package = torchsnapshot
        self.pending = None

    def save(self, step):
        self.finish()
        self.pending = self.package.Snapshot.async_take(
            str(self.path(step)), {"state": self.package.StateDict(**self.tensors)}
        )

    def finish(self):
        if self.pending is not None:
            self.pending.wait()
            self.pending = None

    def load_into(self, step, tensors):
        self.package.Snapshot(str(self.path(step))).restore({"state": self.package.StateDict(**tensors)})
        return tensors

    def restore_leaf(self, step, name):
        return array_of(self.package.Snapshot(str(self.path(step))).read_object(f"0/state/{name}"))
