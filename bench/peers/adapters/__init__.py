"""What a peer does in a trial. Each module has the peers of one package."""

import pathlib
import shutil

import state as states


class Unsupported(Exception):
    """The peer has no such thing."""


class Peer:
    """One peer with its options. The state is {name: numpy array}; a peer whose arrays are its own makes them of it.

    save() is what blocks the training loop; finish() returns when the peer calls the save finished; fence() is what it
    asks for before the state changes, if anything. A step lies below directory / str(step).
    """

    def __init__(self, state, directory):
        self.state = state
        self.directory = pathlib.Path(directory)

    def path(self, step):
        return self.directory / str(step)

    def save(self, step):
        raise NotImplementedError

    def fence(self):
        pass

    def finish(self):
        pass

    def remove(self, step):
        shutil.rmtree(self.path(step))

    def restore(self, step):
        """Everything, into fresh memory: {name: numpy array}."""
        raise Unsupported("restore")

    def restore_existing(self, step):
        """Everything, into the memory of the state."""
        raise Unsupported("restore into existing buffers")

    def restore_leaf(self, step, name):
        raise Unsupported("restore of one leaf")

    def current(self, name):
        """A leaf of the state as it is now."""
        return self.state[name]

    def save_managed(self, step):
        """A save by the peer's manager of steps, finished."""
        self.save(step)
        self.finish()

    def open_and_list(self):
        """The steps in the directory, as a new manager finds them."""
        raise Unsupported("no manager of steps")

    def invert(self):
        """Changes the whole state, in place where that is what its users do; the second time restores it."""
        states.invert(self.state)

    def close(self):
        pass
