"""`make conformance`: run every test that stands for a behaviour of Kubernetes, and write docs/conformance.md."""
