"""What foreign programs load by themselves; blackbox is imported when it is asked for something."""

from blackbox_plugins.passing import assert_audit_passes

__all__ = ["assert_audit_passes"]
