package main

import (
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"k8s.io/apiserver/pkg/registry/rest"
	"k8s.io/apiserver/pkg/storage"
	authenticationvalidation "k8s.io/kubernetes/pkg/apis/authentication/validation"
	authorizationvalidation "k8s.io/kubernetes/pkg/apis/authorization/validation"
	autoscalingvalidation "k8s.io/kubernetes/pkg/apis/autoscaling/validation"
	corevalidation "k8s.io/kubernetes/pkg/apis/core/validation"
	"k8s.io/kubernetes/pkg/registry/apps/deployment"
	"k8s.io/kubernetes/pkg/registry/apps/replicaset"
	"k8s.io/kubernetes/pkg/registry/certificates/certificates"
	"k8s.io/kubernetes/pkg/registry/coordination/lease"
	"k8s.io/kubernetes/pkg/registry/core/configmap"
	"k8s.io/kubernetes/pkg/registry/core/endpoint"
	"k8s.io/kubernetes/pkg/registry/core/event"
	"k8s.io/kubernetes/pkg/registry/core/namespace"
	"k8s.io/kubernetes/pkg/registry/core/node"
	"k8s.io/kubernetes/pkg/registry/core/pod"
	"k8s.io/kubernetes/pkg/registry/core/podtemplate"
	"k8s.io/kubernetes/pkg/registry/core/secret"
	"k8s.io/kubernetes/pkg/registry/core/service"
	"k8s.io/kubernetes/pkg/registry/core/serviceaccount"
	"k8s.io/kubernetes/pkg/registry/discovery/endpointslice"
	"k8s.io/kubernetes/pkg/registry/networking/ipaddress"
	"k8s.io/kubernetes/pkg/registry/networking/servicecidr"
	"k8s.io/kubernetes/pkg/registry/rbac/clusterrole"
	"k8s.io/kubernetes/pkg/registry/rbac/clusterrolebinding"
	"k8s.io/kubernetes/pkg/registry/rbac/role"
	"k8s.io/kubernetes/pkg/registry/rbac/rolebinding"
	"k8s.io/kubernetes/pkg/registry/resource/deviceclass"
	"k8s.io/kubernetes/pkg/registry/resource/resourceclaim"
	"k8s.io/kubernetes/pkg/registry/resource/resourceclaimtemplate"
	"k8s.io/kubernetes/pkg/registry/resource/resourceslice"
	"k8s.io/kubernetes/pkg/registry/storage/csinode"

	// Every group that a fuzzer may make an object of.
	_ "k8s.io/kubernetes/pkg/api/testing"
)

// kind is where upstream keeps its judgement of a kind: in the strategies of its registry, or, for what is answered and
// not stored, in a function.
type kind struct {
	strategy strategy
	status   rest.RESTUpdateStrategy
	approval rest.RESTUpdateStrategy
	review   func(runtime.Object) field.ErrorList
	// attributes is what can be selected by, where it is more than name and namespace.
	attributes storage.AttrFunc
	// begin is what the storage does to a new object, or to one that replaces an old one.
	begin func(obj, old runtime.Object) error
}

type strategy interface {
	rest.RESTCreateStrategy
	rest.RESTUpdateStrategy
}

var kinds = map[schema.GroupVersionKind]kind{
	core("ConfigMap"):   {strategy: configmap.Strategy, attributes: configmap.GetAttrs},
	core("Endpoints"):   {strategy: endpoint.Strategy},
	core("Event"):       {strategy: event.Strategy, attributes: event.GetAttrs},
	core("Namespace"):   {strategy: namespace.Strategy, status: namespace.StatusStrategy, attributes: namespace.GetAttrs},
	core("Node"):        {strategy: node.Strategy, status: node.StatusStrategy, attributes: node.GetAttrs},
	core("Pod"):         {strategy: pod.Strategy, status: pod.StatusStrategy, attributes: pod.GetAttrs},
	core("PodTemplate"): {strategy: podtemplate.Strategy},
	core("Secret"):      {strategy: secret.Strategy, attributes: secret.GetAttrs},
	core("Service"): {
		strategy: service.Strategy, status: service.StatusStrategy, attributes: service.GetAttrs, begin: prepareService,
	},
	core("ServiceAccount"): {strategy: serviceaccount.Strategy},

	v1("apps", "Deployment"): {strategy: deployment.Strategy, status: deployment.StatusStrategy},
	v1("apps", "ReplicaSet"): {strategy: replicaset.Strategy, status: replicaset.StatusStrategy, attributes: replicaset.GetAttrs},
	v1("certificates.k8s.io", "CertificateSigningRequest"): {
		strategy: certificates.Strategy, status: certificates.StatusStrategy, approval: certificates.ApprovalStrategy,
		attributes: certificates.GetAttrs,
	},
	v1("coordination.k8s.io", "Lease"):                    {strategy: lease.Strategy},
	v1("discovery.k8s.io", "EndpointSlice"):               {strategy: endpointslice.Strategy},
	v1("events.k8s.io", "Event"):                          {strategy: event.Strategy, attributes: event.GetAttrs},
	v1("networking.k8s.io", "IPAddress"):                  {strategy: ipaddress.Strategy},
	v1("networking.k8s.io", "ServiceCIDR"):                {strategy: servicecidr.Strategy, status: servicecidr.StatusStrategy},
	v1("rbac.authorization.k8s.io", "ClusterRole"):        {strategy: clusterrole.Strategy},
	v1("rbac.authorization.k8s.io", "ClusterRoleBinding"): {strategy: clusterrolebinding.Strategy},
	v1("rbac.authorization.k8s.io", "Role"):               {strategy: role.Strategy},
	v1("rbac.authorization.k8s.io", "RoleBinding"):        {strategy: rolebinding.Strategy},

	v1("resource.k8s.io", "DeviceClass"):           {strategy: deviceclass.Strategy},
	v1("resource.k8s.io", "ResourceClaim"):         {strategy: claims, status: resourceclaim.NewStatusStrategy(claims)},
	v1("resource.k8s.io", "ResourceClaimTemplate"): {strategy: resourceclaimtemplate.NewStrategy(namespaces)},
	v1("resource.k8s.io", "ResourceSlice"):         {strategy: resourceslice.Strategy, attributes: resourceslice.GetAttrs},
	v1("storage.k8s.io", "CSINode"):                {strategy: csinode.Strategy},

	v1("authentication.k8s.io", "SelfSubjectReview"):       {review: anything},
	v1("authentication.k8s.io", "TokenRequest"):            review(authenticationvalidation.ValidateTokenRequest),
	v1("authentication.k8s.io", "TokenReview"):             {review: anything},
	v1("authorization.k8s.io", "LocalSubjectAccessReview"): review(authorizationvalidation.ValidateLocalSubjectAccessReview),
	v1("authorization.k8s.io", "SelfSubjectAccessReview"):  review(authorizationvalidation.ValidateSelfSubjectAccessReview),
	v1("authorization.k8s.io", "SelfSubjectRulesReview"):   {review: anything},
	v1("authorization.k8s.io", "SubjectAccessReview"):      review(authorizationvalidation.ValidateSubjectAccessReview),
	core("Binding"):            review(corevalidation.ValidatePodBinding),
	v1("policy", "Eviction"):   {review: anything},
	v1("autoscaling", "Scale"): review(autoscalingvalidation.ValidateScale),
}

func core(kind string) schema.GroupVersionKind { return v1("", kind) }

func v1(group, kind string) schema.GroupVersionKind {
	return schema.GroupVersionKind{Group: group, Version: "v1", Kind: kind}
}

// Kinds of which upstream judges only that they can be read.
func anything(runtime.Object) field.ErrorList { return nil }

func review[T any](validate func(T) field.ErrorList) kind {
	return kind{review: func(obj runtime.Object) field.ErrorList { return validate(any(obj).(T)) }}
}
