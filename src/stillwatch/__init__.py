"""Stillwatch: find, prove and stop adversarial distillation of language models."""

__version__ = "0.1.0"
