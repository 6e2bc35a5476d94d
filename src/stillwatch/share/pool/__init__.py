"""Suspicions out, partners' word in."""
