"""One verb a file; kubectl's words for kubectl's verbs."""
