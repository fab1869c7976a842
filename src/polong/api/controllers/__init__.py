"""What goes on without a request, one controller a file: each compares what is stored with what should be, and mends it.

They work on the store, beside the verbs, and write only what no client may: statuses, what every namespace has, what expires.
"""
