"""Cases: facts as text, and what this release decides and does for them. For tests and ``peerboot replay`` alone."""
