"""`make demo`: a node, the page's Pod, and a terminal in it, from nothing to a shell prompt without a question asked."""
