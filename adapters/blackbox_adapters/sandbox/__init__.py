"""A confined process of its own for code that handles a stranger's file, and the talk with it."""
