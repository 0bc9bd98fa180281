"""A real node: kubelet, kube-proxy, containerd and CoreDNS in separate namespaces, so that pods really run.

The node's *machine* is a process that is the first in its network, mount, pid, IPC and UTS namespaces. Everything else
enters them: when the machine exits, the kernel kills every process in them, and removes the mounts and interfaces. Only
control groups have to be removed explicitly.
"""
