"""Denoising frameworks that are wrapped round any system that scores pairs."""
