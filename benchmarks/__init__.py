"""Measuring a model at a place: interleaved latency, and what the machine was while it was measured."""
