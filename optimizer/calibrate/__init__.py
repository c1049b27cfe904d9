"""Activation ranges from data: streaming observers whose memory does not grow with the number of samples."""
