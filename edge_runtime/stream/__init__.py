"""The pure part of serving: payloads in, predictions out; no clock, no thread, no socket."""
