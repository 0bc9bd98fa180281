"""The errors; each message is a sentence that says how to fix the problem."""


class LocalClusterError(Exception):
    """A local cluster could not do what was requested; the message says why and how to fix it."""


class AlreadyRunningError(LocalClusterError):
    """A cluster with this name already runs, starts or stops."""


class NotRunningError(LocalClusterError):
    """No cluster with this name runs."""
