"""MQTT: the connection, the topics and what is written on them."""
