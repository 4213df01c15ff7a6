"""The PNG figures of studies and of the audit."""
