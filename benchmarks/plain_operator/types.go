package main

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
)

// PodLink has the fields of a PodLink that the operator needs.
type PodLink struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`

	Spec   PodLinkSpec   `json:"spec,omitempty"`
	Status PodLinkStatus `json:"status,omitempty"`
}

// PodLinkSpec names the pod.
type PodLinkSpec struct {
	RouteName string `json:"routeName"`
	UID       string `json:"uid"`
	PodIndex  *int32 `json:"podIndex,omitempty"`
}

// PodLinkStatus is the status of a bound link.
type PodLinkStatus struct {
	Phase              string             `json:"phase,omitempty"`
	PodIndex           *int32             `json:"podIndex,omitempty"`
	PodName            string             `json:"podName,omitempty"`
	Host               string             `json:"host,omitempty"`
	BoundTime          *metav1.Time       `json:"boundTime,omitempty"`
	ObservedGeneration int64              `json:"observedGeneration,omitempty"`
	Conditions         []metav1.Condition `json:"conditions,omitempty"`
}

// PodLinkList is a list of links.
type PodLinkList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`

	Items []PodLink `json:"items"`
}

// DeepCopy returns a copy that shares nothing with the link.
func (link *PodLink) DeepCopy() *PodLink {
	copied := *link
	copied.ObjectMeta = *link.ObjectMeta.DeepCopy()
	copied.Spec.PodIndex = copyInt32(link.Spec.PodIndex)
	copied.Status.PodIndex = copyInt32(link.Status.PodIndex)
	copied.Status.BoundTime = link.Status.BoundTime.DeepCopy()
	copied.Status.Conditions = make([]metav1.Condition, len(link.Status.Conditions))
	copy(copied.Status.Conditions, link.Status.Conditions) // a condition has no references
	return &copied
}

// DeepCopyObject is part of runtime.Object.
func (link *PodLink) DeepCopyObject() runtime.Object { return link.DeepCopy() }

// DeepCopyObject is part of runtime.Object.
func (list *PodLinkList) DeepCopyObject() runtime.Object {
	copied := *list
	copied.ListMeta = *list.ListMeta.DeepCopy()
	copied.Items = make([]PodLink, len(list.Items))
	for index := range list.Items {
		copied.Items[index] = *list.Items[index].DeepCopy()
	}
	return &copied
}

func copyInt32(value *int32) *int32 {
	if value == nil {
		return nil
	}
	copied := *value
	return &copied
}
