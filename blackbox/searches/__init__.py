"""Searches over masks: generators that yield masks and receive scores; they know no game and no model."""
