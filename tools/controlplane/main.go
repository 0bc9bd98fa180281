// Command controlplane is etcd, kube-apiserver, kube-controller-manager and
// kube-scheduler in one program: a real Kubernetes control plane that builds
// from the Go module proxy alone, with no container engine and no downloads
// of prebuilt binaries.
//
// Each part is the upstream command, unchanged:
//
//	controlplane etcd               [etcd flags]
//	controlplane apiserver          [kube-apiserver flags]
//	controlplane controller-manager [kube-controller-manager flags]
//	controlplane scheduler          [kube-scheduler flags]
package main

import (
	"fmt"
	"os"

	"github.com/spf13/cobra"
	"go.etcd.io/etcd/server/v3/etcdmain"
	"k8s.io/component-base/cli"
	_ "k8s.io/component-base/metrics/prometheus/clientgo"
	_ "k8s.io/component-base/metrics/prometheus/version"
	apiserver "k8s.io/kubernetes/cmd/kube-apiserver/app"
	controllermanager "k8s.io/kubernetes/cmd/kube-controller-manager/app"
	scheduler "k8s.io/kubernetes/cmd/kube-scheduler/app"
)

var kubernetesParts = map[string]func() *cobra.Command{
	"apiserver":          apiserver.NewAPIServerCommand,
	"controller-manager": controllermanager.NewControllerManagerCommand,
	"scheduler":          func() *cobra.Command { return scheduler.NewSchedulerCommand() },
}

func main() {
	if len(os.Args) < 2 {
		usage("a part is missing")
	}
	part := os.Args[1]
	os.Args = append([]string{part}, os.Args[2:]...) // each part reads its own flags
	if part == "etcd" {
		etcdmain.Main(os.Args)
		return
	}
	newCommand, known := kubernetesParts[part]
	if !known {
		usage(fmt.Sprintf("unknown part %q", part))
	}
	os.Exit(cli.Run(newCommand()))
}

func usage(problem string) {
	fmt.Fprintf(os.Stderr, "controlplane: %s; usage: controlplane etcd|apiserver|controller-manager|scheduler [flags]\n", problem)
	os.Exit(2)
}
