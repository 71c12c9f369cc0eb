"""Runs other people's scoring code, restricted."""
