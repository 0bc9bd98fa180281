"""What a process of ours shows of itself: its health to a kubelet, its figures to Prometheus."""
