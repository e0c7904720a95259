"""A cluster of real servers on this machine: a headless Service, Pods as a kubelet makes them, and the demo."""
