"""A real node: kubelet, kube-proxy, containerd and CoreDNS in namespaces of their own, so that pods really run.

The node's *machine* is a process that is the first of its own network, mount, pid, IPC and UTS namespaces. Everything
else enters them: when the machine ends, the kernel ends every process in them, and the mounts and interfaces with
them. Only control groups have to be removed by hand.
"""
