// Serves TiKV's gRPC protocol from one process, for development and tests: TiDB's unistore behind a real PD.
//
// What it gets from the command line is where to listen, where PD is and where to keep its data; who talks to it is
// tikv-client. It has no raft, no replication and no raw keys, it keeps locks in memory, and it is killed gracefully only:
// a kill -9 tears transactions. What is corrected here is what tikv-client would stumble over; see each place.
package main

import (
	"context"
	"flag"
	"fmt"
	"net"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/pingcap/kvproto/pkg/kvrpcpb"
	"github.com/pingcap/kvproto/pkg/tikvpb"
	"github.com/pingcap/tidb/pkg/store/mockstore/unistore/config"
	"github.com/pingcap/tidb/pkg/store/mockstore/unistore/pd"
	unistore "github.com/pingcap/tidb/pkg/store/mockstore/unistore/server"
	"github.com/pingcap/tidb/pkg/store/mockstore/unistore/tikv"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// The largest message taken: a prewrite of one group and its keys.
const messageLimit = 64 << 20

func main() {
	address := flag.String("addr", "127.0.0.1:20160", "where to listen, and what PD tells clients")
	pdAddress := flag.String("pd", "http://127.0.0.1:2379", "PD's client URL")
	directory := flag.String("data-dir", "", "where to keep the data")
	flag.Parse()
	if err := run(*address, *pdAddress, *directory); err != nil {
		fmt.Fprintln(os.Stderr, "unistore:", err)
		os.Exit(1)
	}
}

func run(address, pdAddress, directory string) error {
	if directory == "" {
		return fmt.Errorf("--data-dir is missing")
	}
	if err := os.MkdirAll(directory, 0o700); err != nil {
		return err
	}
	// The port is taken before PD is told of it.
	listener, err := net.Listen("tcp", address)
	if err != nil {
		return err
	}
	client, err := pd.NewClient([]string{strings.TrimPrefix(pdAddress, "http://")}, "unistore")
	if err != nil {
		return err
	}
	inner, err := unistore.New(configuration(address, pdAddress, directory), repeatHeartbeats(client))
	if err != nil {
		return err
	}
	server := grpc.NewServer(grpc.UnaryInterceptor(guard), grpc.MaxRecvMsgSize(messageLimit))
	tikvpb.RegisterTikvServer(server, corrected{inner})
	stopped := make(chan os.Signal, 1)
	signal.Notify(stopped, syscall.SIGINT, syscall.SIGTERM)
	go func() {
		<-stopped
		server.GracefulStop()
	}()
	// hack/tikv waits for this line.
	fmt.Println("unistore serves at", address)
	err = server.Serve(listener)
	inner.Stop()
	return err
}

func configuration(address, pdAddress, directory string) *config.Config {
	conf := config.DefaultConf
	conf.Server.StoreAddr = address
	conf.Server.PDAddr = pdAddress
	conf.Server.Raft = false
	conf.Engine.DBPath = directory
	conf.Engine.SyncWrite = true
	conf.Engine.VolatileMode = false
	return &conf
}

// corrected answers as TiKV does where unistore does not.
type corrected struct{ *tikv.Server }

// KvGet says of an absent key that it is absent, also where it was deleted; without that it reads as present and empty.
func (server corrected) KvGet(ctx context.Context, request *kvrpcpb.GetRequest) (*kvrpcpb.GetResponse, error) {
	response, err := server.Server.KvGet(ctx, request)
	if err == nil && response.Error == nil && response.RegionError == nil {
		response.NotFound = len(response.Value) == 0
	}
	return response, err
}

// KvPrewrite keeps the secondaries out of the locks, of which unistore would keep a copy each: tikv-client sends all of
// them with every batch, although only an asynchronous commit needs them.
func (server corrected) KvPrewrite(ctx context.Context, request *kvrpcpb.PrewriteRequest) (*kvrpcpb.PrewriteResponse, error) {
	if !request.UseAsyncCommit {
		request.Secondaries = nil
	}
	return server.Server.KvPrewrite(ctx, request)
}

// guard refuses raw keys, which unistore pretends to have, and turns a panic into an error of the one request.
func guard(ctx context.Context, request any, info *grpc.UnaryServerInfo, handle grpc.UnaryHandler) (response any, err error) {
	method := info.FullMethod[strings.LastIndex(info.FullMethod, "/")+1:]
	if strings.HasPrefix(method, "Raw") {
		return nil, status.Errorf(codes.Unimplemented, "%s: this development server has no raw keys", method)
	}
	defer func() {
		if cause := recover(); cause != nil {
			err = status.Errorf(codes.Internal, "%s panicked: %v", method, cause)
		}
	}()
	return handle(ctx, request)
}
