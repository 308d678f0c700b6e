"""After the send: what is seen of it, what it means, what was lost and what clients felt."""
