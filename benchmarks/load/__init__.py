"""A daemon under load: what it costs, beside the script that one would write instead."""
