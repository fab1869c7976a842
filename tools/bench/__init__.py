"""`make bench`: the page's Pod on Polong, podman and containerd, measured in one run, side by side.

Every engine works in a worker of its own inside fresh network, mount and PID namespaces, so that nothing it does to the machine outlives
the run, and the rounds go round-robin, so that a noisy minute hurts all of them alike. Ratios are what to trust; absolute times belong to
the machine that the report names.
"""
