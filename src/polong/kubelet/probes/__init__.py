"""Startup, liveness and readiness probes: one task a probe of a running instance; what they found, by container id.

`spec` reads them, `tally` counts (both pure), `prober` runs them and satisfies `polong.kubelet.health.Probes`.
"""
