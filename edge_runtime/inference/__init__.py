"""Arrays in, arrays out: the engines, and the steps before and after them."""
