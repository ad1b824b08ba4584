// Load on an etcd, by etcd's own client: reads a request per line (JSON) and answers each with a line. What
// `hack/bench store` puts beside our store, which answers the same requests in hack/xtask/src/store/ours.rs.
//
//	load ENDPOINT
package main

import (
	"bufio"
	"context"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
)

// request is what is to be done; a field that the work has no use for is zero.
type request struct {
	Do         string  `json:"do"`
	Workers    int     `json:"workers"`
	Seconds    float64 `json:"seconds"`
	Operations int64   `json:"operations"`
	Keys       int64   `json:"keys"`
	Bytes      int     `json:"bytes"`
	Keep       int64   `json:"keep"`
}

// answer says how much was done and how long single operations took.
type answer struct {
	Operations int64   `json:"operations"`
	Seconds    float64 `json:"seconds"`
	P50        float64 `json:"p50_us"`
	P99        float64 `json:"p99_us"`
	Max        float64 `json:"max_us"`
}

const namespaces = 10

func main() {
	endpoint := os.Args[1]
	reader, writer := bufio.NewScanner(os.Stdin), json.NewEncoder(os.Stdout)
	client := connect(endpoint)
	for reader.Scan() {
		var asked request
		try(json.Unmarshal(reader.Bytes(), &asked))
		if asked.Do == "first" {
			client.Close()
			await(endpoint)
			client = connect(endpoint)
		}
		try(writer.Encode(do(client, asked)))
	}
}

func connect(endpoint string) *clientv3.Client {
	client, err := clientv3.New(clientv3.Config{Endpoints: []string{endpoint}, MaxCallRecvMsgSize: 1 << 30})
	try(err)
	return client
}

// await returns once the server accepts connections; the client itself would back off for a second.
func await(endpoint string) {
	for {
		if connection, err := net.Dial("tcp", endpoint); err == nil {
			connection.Close()
			return
		}
		time.Sleep(time.Millisecond)
	}
}

func do(client *clientv3.Client, asked request) answer {
	ctx := context.Background()
	switch asked.Do {
	case "write":
		return repeat(asked, func(number int64) {
			put, err := client.Put(ctx, key(number%asked.Keys), value(asked.Bytes))
			try(err)
			// As often as our store compacts what is beyond its limit: in small steps all the time.
			if asked.Keep > 0 && number%10_000 == 9_999 && put.Header.Revision > asked.Keep {
				_, err := client.Compact(ctx, put.Header.Revision-asked.Keep)
				try(err)
			}
		})
	case "first":
		return repeat(request{Workers: 1, Operations: 1}, func(int64) { get(ctx, client, asked.Keys/2) })
	case "get":
		return repeat(asked, func(int64) { get(ctx, client, rand.Int64N(asked.Keys)) })
	case "range":
		prefix := "/configmaps/"
		if asked.Keys < 0 {
			prefix = "/configmaps/ns-3/"
		}
		return repeat(asked, func(int64) {
			found, err := client.Get(ctx, prefix, clientv3.WithPrefix())
			try(err)
			if int64(len(found.Kvs)) != asked.Keep {
				try(fmt.Errorf("%d keys instead of %d", len(found.Kvs), asked.Keep))
			}
		})
	case "watch":
		return watch(ctx, client, asked)
	}
	try(fmt.Errorf("nobody knows how to %q", asked.Do))
	return answer{}
}

func get(ctx context.Context, client *clientv3.Client, number int64) {
	found, err := client.Get(ctx, key(number))
	try(err)
	if len(found.Kvs) != 1 {
		try(fmt.Errorf("%s is not there", key(number)))
	}
}

// watch measures from before a write until the last of all watchers has its event.
func watch(ctx context.Context, client *clientv3.Client, asked request) answer {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var ready, seen sync.WaitGroup
	ready.Add(asked.Workers)
	for range asked.Workers {
		events := client.Watch(ctx, "/configmaps/", clientv3.WithPrefix(), clientv3.WithCreatedNotify())
		go func() {
			<-events
			ready.Done()
			for range events {
				seen.Done()
			}
		}()
	}
	ready.Wait()
	return repeat(request{Workers: 1, Operations: asked.Operations}, func(number int64) {
		seen.Add(asked.Workers)
		_, err := client.Put(ctx, key(number), value(asked.Bytes))
		try(err)
		seen.Wait()
	})
}

// repeat lets workers do something for a time, or a number of times, together.
func repeat(asked request, work func(number int64)) answer {
	var next atomic.Int64
	var group sync.WaitGroup
	latencies := make([][]time.Duration, asked.Workers)
	began := time.Now()
	for worker := range asked.Workers {
		group.Go(func() {
			for {
				number := next.Add(1) - 1
				if asked.Operations > 0 && number >= asked.Operations {
					return
				}
				before := time.Now()
				if asked.Operations == 0 && before.Sub(began).Seconds() > asked.Seconds {
					return
				}
				work(number)
				latencies[worker] = append(latencies[worker], time.Since(before))
			}
		})
	}
	group.Wait()
	took := time.Since(began)
	all := slices.Concat(latencies...)
	slices.Sort(all)
	at := func(share float64) float64 { return float64(all[int(float64(len(all)-1)*share)].Nanoseconds()) / 1e3 }
	return answer{int64(len(all)), took.Seconds(), at(0.5), at(0.99), at(1)}
}

func key(number int64) string {
	return fmt.Sprintf("/configmaps/ns-%d/object-%07d", number%namespaces, number)
}

// value is random, so that neither side gains by compressing.
func value(size int) string {
	bytes := make([]byte, 0, size+8)
	for len(bytes) < size {
		bytes = binary.NativeEndian.AppendUint64(bytes, rand.Uint64())
	}
	return string(bytes[:size])
}

func try(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, "load:", err)
		os.Exit(1)
	}
}
