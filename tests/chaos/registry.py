"""Lists every kind of fault."""

from collections.abc import Sequence

from chaos import faults_cluster, faults_machine, faults_network, faults_pods, faults_processes
from chaos.fault import FaultKind

KINDS: Sequence[FaultKind] = [
    *faults_processes.KINDS,
    *faults_pods.KINDS,
    *faults_network.KINDS,
    *faults_machine.KINDS,
    *faults_cluster.KINDS,
]
