"""Server-side apply: who manages which field of an object. Pure; the verb that uses it is in `verbs/apply.py`.

Source: Kubernetes docs "Server-Side Apply", KEP-555; the rules of merging follow sigs.k8s.io/structured-merge-diff.
"""
