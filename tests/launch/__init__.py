"""What starts a server in the vendor's container: stand-ins, shells, and a script killed after each of its lines."""
