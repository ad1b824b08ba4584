package main

import (
	"sync"
	"time"

	"github.com/pingcap/kvproto/pkg/pdpb"
	"github.com/pingcap/tidb/pkg/store/mockstore/unistore/pd"
)

// heartbeats sends the newest heartbeat of every region again and again. unistore sends one when a region changes; a PD
// that was restarted since would never learn who leads it, and clients would wait for a leader for good.
type heartbeats struct {
	pd.Client
	mutex  sync.Mutex
	newest map[uint64]*pdpb.RegionHeartbeatRequest
}

const heartbeatPeriod = 2 * time.Second

func repeatHeartbeats(client pd.Client) pd.Client {
	repeated := &heartbeats{Client: client, newest: map[uint64]*pdpb.RegionHeartbeatRequest{}}
	go func() {
		for range time.Tick(heartbeatPeriod) {
			for _, request := range repeated.all() {
				client.ReportRegion(request)
			}
		}
	}()
	return repeated
}

func (repeated *heartbeats) ReportRegion(request *pdpb.RegionHeartbeatRequest) {
	repeated.mutex.Lock()
	repeated.newest[request.Region.Id] = request
	repeated.mutex.Unlock()
	repeated.Client.ReportRegion(request)
}

func (repeated *heartbeats) all() []*pdpb.RegionHeartbeatRequest {
	repeated.mutex.Lock()
	defer repeated.mutex.Unlock()
	requests := make([]*pdpb.RegionHeartbeatRequest, 0, len(repeated.newest))
	for _, request := range repeated.newest {
		requests = append(requests, request)
	}
	return requests
}
