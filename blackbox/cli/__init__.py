"""The doors."""


def main() -> None:
    """Run."""
