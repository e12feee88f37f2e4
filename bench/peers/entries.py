"""What is measured: each entry is one peer with one set of options. docs/peers.md has its settings in words."""

import dataclasses

SAVE, LOOP, CODEC, STEPS, LEAVES = WORKLOADS = "save", "loop", "codec", "steps", "leaves"


@dataclasses.dataclass(frozen=True)
class Entry:
    name: str
    package: str  # whose options these are
    peer: str  # MODULE:CLASS in adapters; of milepost "CODEC MODE"
    workloads: tuple = (SAVE, LEAVES)
    restores: bool = True  # whether its restores are those of no other entry
    fence: bool = False  # whether the state may not change before a second call has returned
    compressed: bool = False
    venv: str = "venv"

    @property
    def ours(self):
        return self.package == "milepost"


MILEPOST, FAST, LAZY, COW = "milepost", "milepost, fast", "milepost, lazy", "milepost, cow"

ENTRIES = [
    Entry(MILEPOST, "milepost", "none copy", (SAVE, LEAVES, LOOP, STEPS)),
    Entry(FAST, "milepost", "fast copy", (SAVE, LEAVES, LOOP, CODEC), compressed=True),
    Entry(LAZY, "milepost", "none lazy", (SAVE, LOOP), restores=False, fence=True),
    Entry(COW, "milepost", "none cow", (SAVE, LOOP), restores=False),
    Entry("Orbax", "orbax-checkpoint", "orbax_peers:Orbax", (SAVE, LEAVES, LOOP, STEPS), compressed=True),
    Entry("Orbax, tuned", "orbax-checkpoint", "orbax_peers:OrbaxTuned", (SAVE, LEAVES, LOOP, STEPS)),
    Entry("torch.save", "torch", "torch_peers:TorchSave", (SAVE, LEAVES, LOOP)),
    Entry("torch.save, tuned", "torch", "torch_peers:TorchSaveTuned"),
    Entry("DCP save", "torch", "torch_peers:DistributedCheckpoint"),
    Entry("DCP async_save", "torch", "torch_peers:AsyncDistributedCheckpoint", (SAVE, LEAVES, LOOP), restores=False),
    Entry("DCP async_save, tuned", "torch", "torch_peers:AsyncDistributedCheckpointTuned", (SAVE, LOOP), restores=False),
    Entry("DCP async_save, staged", "torch", "torch_peers:AsyncDistributedCheckpointStaged", (SAVE, LOOP),
          restores=False, fence=True),
    Entry("DCP async_save, process", "torch", "torch_peers:AsyncDistributedCheckpointProcess", (SAVE, LOOP),
          restores=False),
    Entry("torchsnapshot", "torchsnapshot", "torch_peers:TorchSnapshot", (SAVE, LEAVES, LOOP)),
    Entry("safetensors", "safetensors", "torch_peers:Safetensors", (SAVE, LEAVES, LOOP)),
    Entry("tensorstore, zarr3", "tensorstore", "tensorstore_peers:Zarr3", compressed=True),
    Entry("tensorstore, OCDBT", "tensorstore", "tensorstore_peers:Ocdbt", (SAVE, LEAVES, LOOP)),
    Entry("numpy.save", "numpy", "numpy_peers:NumpySave", (SAVE, LEAVES, LOOP)),
    Entry("TensorFlow", "tensorflow-cpu", "tensorflow_peers:Checkpoint", (SAVE, LEAVES, STEPS)),
    Entry("TensorFlow, async", "tensorflow-cpu", "tensorflow_peers:AsyncCheckpoint", (SAVE, LOOP), restores=False),
    Entry("ZipNN", "zipnn", "zipnn_codec:ZipNN", (CODEC,), compressed=True),
    Entry("TFF", "tensorflow-federated", "tff_peers:FileProgramStateManager", (SAVE, LEAVES, STEPS), venv="venv-tff"),
]
