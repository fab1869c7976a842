"""Server-side printing: meta.k8s.io Tables, as Kubernetes prints them. Pure."""
