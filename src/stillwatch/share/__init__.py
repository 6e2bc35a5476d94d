"""Campaigns -> partners, and back."""
