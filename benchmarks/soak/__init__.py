"""Two processes under load and disturbances, whose answers are judged and whose memory must not grow."""
