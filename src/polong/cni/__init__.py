"""Pod networks: network configuration and CNI plugin invocation."""
