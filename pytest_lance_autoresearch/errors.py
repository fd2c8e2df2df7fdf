"""The faults that a person or an agent is told about, each as one sentence.

Owns the exception types. A message says where, what was found, what was expected and, where it helps, what
to type; it is shown as it is, without a traceback.
"""

from __future__ import annotations

from pytest_lance_autoresearch.records import Status


class AutoresearchError(Exception):
    """A fault with a sentence for the user; never a bug of the plugin itself.

    `seed` is the secret seed of the inputs that showed it; None for published inputs, and where none play a part.
    `case` is the id of the case that was measured; '' where it was not about one.
    """

    seed: int | None = None
    case: str = ""

    @property
    def headline(self) -> str:
        """The first line; what follows it (a traceback, the kernel's output) is for the item's own report."""
        return str(self).splitlines()[0]


class SelectionError(AutoresearchError):
    """A target was asked for that is not there."""


class TargetError(AutoresearchError):
    """A target's files or its protocol are at fault (not its kernel)."""


class LogError(AutoresearchError):
    """A log or an archive cannot be read or written."""


class RevisionUnknown(AutoresearchError):
    """A revision that was named as the baseline cannot be asked for it."""


class Overtaken(LogError):
    """A row was to become the baseline, and another one did meanwhile."""


class MemoryLacking(AutoresearchError):
    """The system gives no memory to share with a worker."""


class HostsError(AutoresearchError):
    """A cluster cannot be reached, or a host of it cannot serve."""


class HostLost(HostsError):
    """A host is gone, and what it was working on with it."""


class KernelFailure(AutoresearchError):
    """The kernel did something that no correct kernel does.

    `status` is the trial's end in the log, `side` the letter of the candidate, where several may have failed.
    """

    status = Status.INCORRECT
    side: str = ""

    def __init__(self, message: str, seed: int | None = None) -> None:
        super().__init__(message)
        self.seed = seed


class KernelIncorrect(KernelFailure):
    """Its result differs from the oracle's."""


class KernelRaised(KernelFailure):
    """It raised an exception, or returned something that is not an array."""


class KernelReturnedMore(KernelRaised):
    """It returned more bytes than there is room for."""


class KernelCrashed(KernelFailure):
    """Its process ended while it worked."""

    status = Status.CRASH


class KernelTimeout(KernelFailure):
    """It did not answer within its deadline."""

    status = Status.TIMEOUT


class KernelRefused(KernelFailure):
    """It broke a rule of the measurement: work outside the window, threads, processes, changed inputs."""

    status = Status.REFUSED


class TrialInvalid(AutoresearchError):
    """No verdict is possible, and the kernel is not to blame: the baseline failed, or no process starts."""
