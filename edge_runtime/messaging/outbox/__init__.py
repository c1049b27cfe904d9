"""What lies between a pipeline's predictions and the network, bounded and accounted for."""
