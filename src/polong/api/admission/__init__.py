"""Admission: what a write must satisfy, or is given, beyond its own fields. One plugin a file, named as Kubernetes names them."""
