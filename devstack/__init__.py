"""Starts and stops the real stores and Feedmill's deployables on one machine."""
