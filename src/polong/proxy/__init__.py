"""What leads the packets of Services: an ordinary client of the API that writes the node's rules."""
