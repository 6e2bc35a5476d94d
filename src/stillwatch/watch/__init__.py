"""Logs -> campaigns."""
