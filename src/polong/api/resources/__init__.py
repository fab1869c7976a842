"""One file a kind: defaulting, validation, what create and update prepare, selectable fields, columns."""
