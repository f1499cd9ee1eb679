"""How exposed a system's containers are, read from what lies in the image."""
