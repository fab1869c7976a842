"""NRI, the Node Resource Interface: plugins that watch the life of Pods and containers, and may refuse a step of it.

They connect to a socket of the runtime (containerd/nri, protocol v1alpha1: ttrpc over one multiplexed connection). What a plugin may do
here is to see and to refuse; one that asks for a change of a container has its request refused by name.
"""
