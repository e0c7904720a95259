"""etcd: README.md says what it does; spec.py puts the other files together."""
