"""The doors to the world, one file each: nothing else opens sockets or files, reads clocks or draws numbers."""
