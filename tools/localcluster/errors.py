"""What can go wrong, each as one sentence that a person can act on."""


class LocalClusterError(Exception):
    """A local cluster could not do what was asked; the message says why and what helps."""


class AlreadyRunningError(LocalClusterError):
    """The name belongs to a cluster that runs, starts or stops already."""


class NotRunningError(LocalClusterError):
    """No cluster of that name runs."""
