package main

import (
	"net"
	_ "unsafe" // for go:linkname

	"k8s.io/apimachinery/pkg/runtime"
	api "k8s.io/kubernetes/pkg/apis/core"
	"k8s.io/kubernetes/pkg/registry/core/service/ipallocator"
	"k8s.io/kubernetes/pkg/registry/core/service/portallocator"
	"k8s.io/kubernetes/pkg/registry/core/service/storage"
)

// What upstream's storage of services does before the strategy is asked, allocation apart. It is not exported, and the
// storage itself wants an etcd.

//go:linkname normalizeClusterIPs k8s.io/kubernetes/pkg/registry/core/service/storage.normalizeClusterIPs
func normalizeClusterIPs(after storage.After, before storage.Before)

//go:linkname patchAllocatedValues k8s.io/kubernetes/pkg/registry/core/service/storage.patchAllocatedValues
func patchAllocatedValues(after storage.After, before storage.Before)

//go:linkname makeAlloc k8s.io/kubernetes/pkg/registry/core/service/storage.makeAlloc
func makeAlloc(api.IPFamily, map[api.IPFamily]ipallocator.Interface, portallocator.Interface) storage.Allocators

//go:linkname initIPFamilyFields k8s.io/kubernetes/pkg/registry/core/service/storage.(*Allocators).initIPFamilyFields
func initIPFamilyFields(al *storage.Allocators, after storage.After, before storage.Before) error

// The cluster has IPv4 only, as ours.
var allocators = func() storage.Allocators {
	_, services, err := net.ParseCIDR("10.96.0.0/16")
	if err != nil {
		panic(err)
	}
	ips, err := ipallocator.NewInMemory(services)
	if err != nil {
		panic(err)
	}
	return makeAlloc(api.IPv4Protocol, map[api.IPFamily]ipallocator.Interface{api.IPv4Protocol: ips}, nil)
}()

// prepareService does for services what beginCreate (old is nil) and beginUpdate do.
func prepareService(obj, old runtime.Object) error {
	after, before := storage.After{Service: obj.(*api.Service)}, storage.Before{}
	if old != nil {
		before.Service = old.(*api.Service)
		patchAllocatedValues(after, before)
	}
	normalizeClusterIPs(after, before)
	return initIPFamilyFields(&allocators, after, before)
}
