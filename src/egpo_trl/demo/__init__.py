"""The embedded default: a tiny tool world, its tiny policy, and how both are built."""
