// Command plain_operator is the plainest Go operator: controller-runtime with
// 16 workers and default settings otherwise. It acknowledges each PodLink that
// names its pod by patching its status, and does nothing else.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"strconv"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/log"
	"sigs.k8s.io/controller-runtime/pkg/log/zap"
	"sigs.k8s.io/controller-runtime/pkg/metrics/server"
)

const workers = 16

type reconciler struct{ client.Client }

// Reconcile writes the status of a link whose status is not that of its spec.
func (r reconciler) Reconcile(ctx context.Context, request ctrl.Request) (ctrl.Result, error) {
	var link PodLink
	if err := r.Get(ctx, request.NamespacedName, &link); err != nil {
		return ctrl.Result{}, client.IgnoreNotFound(err)
	}
	if link.Spec.PodIndex == nil || link.Status.ObservedGeneration == link.Generation {
		return ctrl.Result{}, nil
	}
	before := link.DeepCopy()
	link.Status = boundStatus(&link)
	return ctrl.Result{}, r.Status().Patch(ctx, &link, client.MergeFrom(before))
}

func boundStatus(link *PodLink) PodLinkStatus {
	now := metav1.NewTime(time.Now())
	pod := link.Spec.RouteName + "-" + strconv.Itoa(int(*link.Spec.PodIndex))
	return PodLinkStatus{
		Phase:              "Bound",
		PodIndex:           link.Spec.PodIndex,
		PodName:            pod,
		Host:               pod + "." + link.Spec.RouteName + "." + link.Namespace + ".svc",
		BoundTime:          &now,
		ObservedGeneration: link.Generation,
		Conditions: []metav1.Condition{{
			Type:               "Ready",
			Status:             metav1.ConditionTrue,
			Reason:             "Bound",
			Message:            fmt.Sprintf("bound to pod '%s'", pod),
			ObservedGeneration: link.Generation,
			LastTransitionTime: now,
		}},
	}
}

func run() error {
	flag.Parse() // controller-runtime defines --kubeconfig
	log.SetLogger(zap.New())
	config, err := ctrl.GetConfig()
	if err != nil {
		return err
	}
	config.QPS = -1 // no rate limit of the client
	scheme := runtime.NewScheme()
	version := schema.GroupVersion{Group: "statefulroute.io", Version: "v1alpha1"}
	scheme.AddKnownTypes(version, &PodLink{}, &PodLinkList{})
	metav1.AddToGroupVersion(scheme, version)
	manager, err := ctrl.NewManager(config, ctrl.Options{
		Scheme:  scheme,
		Metrics: server.Options{BindAddress: "0"}, // no port
	})
	if err != nil {
		return err
	}
	err = ctrl.NewControllerManagedBy(manager).
		For(&PodLink{}).
		WithOptions(controller.Options{MaxConcurrentReconciles: workers}).
		Complete(reconciler{manager.GetClient()})
	if err != nil {
		return err
	}
	return manager.Start(ctrl.SetupSignalHandler())
}

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "plain_operator:", err)
		os.Exit(1)
	}
}
