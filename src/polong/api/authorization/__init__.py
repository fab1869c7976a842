"""Who may do what: roles and their bindings, the node's own rights, and the questions that clients may ask about them."""
