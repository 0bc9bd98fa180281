// Command pause is the first process of every pod: it holds the namespaces
// that the containers share, reaps their orphans, and exits on a signal.
package main

import (
	"os"
	"os/signal"
	"syscall"
)

func main() {
	arriving := make(chan os.Signal, 8)
	signal.Notify(arriving, syscall.SIGINT, syscall.SIGTERM, syscall.SIGCHLD)
	for number := range arriving {
		if number != syscall.SIGCHLD {
			return
		}
		for reaped := 1; reaped > 0; {
			reaped, _ = syscall.Wait4(-1, nil, syscall.WNOHANG, nil)
		}
	}
}
