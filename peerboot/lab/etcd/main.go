// The etcd server, as its own project starts it: the lab builds this when Go is present.
package main

import (
	"os"

	"go.etcd.io/etcd/server/v3/etcdmain"
)

func main() { etcdmain.Main(os.Args) }
