package main

import (
	"context"

	corev1 "k8s.io/api/core/v1"
	resourcev1 "k8s.io/api/resource/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apiserver/pkg/authorization/authorizerfactory"
	typedcorev1 "k8s.io/client-go/kubernetes/typed/core/v1"
	"k8s.io/kubernetes/pkg/registry/resource/resourceclaim"
)

// Who may have or write what is the API server's to know, ours too: here everybody may.
var claims = resourceclaim.NewStrategy(namespaces, authorizerfactory.NewAlwaysAllowAuthorizer())

// namespaces knows every namespace, and each allows access to devices as administrator.
var namespaces typedcorev1.NamespaceInterface = anyNamespace{}

type anyNamespace struct{ typedcorev1.NamespaceInterface }

func (anyNamespace) Get(_ context.Context, name string, _ metav1.GetOptions) (*corev1.Namespace, error) {
	labels := map[string]string{resourcev1.DRAAdminNamespaceLabelKey: "true"}
	return &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name, Labels: labels}}, nil
}
