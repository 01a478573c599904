"""The demo, its picture and its processes."""
