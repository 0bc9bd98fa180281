// Command node is the kubelet and kube-proxy in one program: what a machine
// needs of Kubernetes itself to be a real node.
//
// Each part is the upstream command, unchanged:
//
//	node kubelet    [kubelet flags]
//	node kube-proxy [kube-proxy flags]
package main

import (
	"context"
	"fmt"
	"os"

	"github.com/spf13/cobra"
	"k8s.io/component-base/cli"
	_ "k8s.io/component-base/metrics/prometheus/clientgo"
	_ "k8s.io/component-base/metrics/prometheus/version"
	kubeproxy "k8s.io/kubernetes/cmd/kube-proxy/app"
	kubelet "k8s.io/kubernetes/cmd/kubelet/app"
)

var parts = map[string]func() *cobra.Command{
	"kubelet":    func() *cobra.Command { return kubelet.NewKubeletCommand(context.Background()) },
	"kube-proxy": kubeproxy.NewProxyCommand,
}

func main() {
	if len(os.Args) < 2 {
		usage("a part is missing")
	}
	part := os.Args[1]
	os.Args = append([]string{part}, os.Args[2:]...) // each part reads its own flags
	newCommand, known := parts[part]
	if !known {
		usage(fmt.Sprintf("unknown part %q", part))
	}
	os.Exit(cli.Run(newCommand()))
}

func usage(problem string) {
	fmt.Fprintf(os.Stderr, "node: %s; usage: node kubelet|kube-proxy [flags]\n", problem)
	os.Exit(2)
}
