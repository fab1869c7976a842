"""Where a Pod runs. With one node the answer is that node, or why not yet: docs/decisions/0013."""
