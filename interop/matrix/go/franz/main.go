// franz-go.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"interop/matrix/records"
)

type client struct{}

var codecs = map[string]kgo.CompressionCodec{
	"none": kgo.NoCompression(), "gzip": kgo.GzipCompression(), "snappy": kgo.SnappyCompression(),
	"lz4": kgo.Lz4Compression(), "zstd": kgo.ZstdCompression(),
}

func (client) Write(address, topic, codec string, idempotent bool, wanted []records.Record) error {
	options := []kgo.Opt{
		kgo.SeedBrokers(strings.Split(address, ",")...), kgo.DefaultProduceTopic(topic), kgo.RecordPartitioner(kgo.ManualPartitioner()),
		kgo.ProducerBatchCompression(codecs[codec]), kgo.ProducerLinger(5 * time.Millisecond), kgo.ProducerBatchMaxBytes(2_500_000),
	}
	if !idempotent {
		options = append(options, kgo.DisableIdempotentWrite())
	}
	it, err := kgo.NewClient(options...)
	if err != nil {
		return err
	}
	defer it.Close()
	var sent []*kgo.Record
	for _, record := range wanted {
		made := &kgo.Record{Partition: record.Partition, Key: record.Key, Value: record.Value, Timestamp: time.UnixMilli(record.Timestamp)}
		for _, header := range record.Headers {
			made.Headers = append(made.Headers, kgo.RecordHeader{Key: header.Name, Value: header.Value})
		}
		sent = append(sent, made)
	}
	return it.ProduceSync(context.Background(), sent...).FirstErr()
}

func (client) Read(address, topic string, partitions int32, count int) error {
	offsets := map[int32]kgo.Offset{}
	for partition := range partitions {
		offsets[partition] = kgo.NewOffset().AtStart()
	}
	it, err := kgo.NewClient(kgo.SeedBrokers(strings.Split(address, ",")...), kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{topic: offsets}))
	if err != nil {
		return err
	}
	defer it.Close()
	for seen := 0; seen < count; {
		ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
		fetches := it.PollFetches(ctx)
		cancel()
		if err := fetches.Err(); err != nil {
			return fmt.Errorf("%d of %d records: %w", seen, count, err)
		}
		fetches.EachRecord(func(record *kgo.Record) {
			shown := records.Record{
				Partition: record.Partition, Offset: record.Offset, Key: record.Key, Value: record.Value, Timestamp: record.Timestamp.UnixMilli(),
			}
			for _, header := range record.Headers {
				shown.Headers = append(shown.Headers, records.Header{Name: header.Key, Value: header.Value})
			}
			if seen < count {
				records.Show(shown)
			}
			seen++
		})
	}
	return nil
}

func (client) Times(address, topic string, timestamps []int64) ([]int64, error) {
	it, err := kgo.NewClient(kgo.SeedBrokers(strings.Split(address, ",")...))
	if err != nil {
		return nil, err
	}
	defer it.Close()
	var found []int64
	for _, timestamp := range timestamps {
		listed, err := kadm.NewClient(it).ListOffsetsAfterMilli(context.Background(), timestamp, topic)
		if err != nil {
			return nil, err
		}
		offset, _ := listed.Lookup(topic, 0)
		// Where no record is so young, kadm itself answers with the end.
		found = append(found, offset.Offset)
	}
	return found, nil
}

func (client) Load(address string, load *records.Load) error {
	it, err := kgo.NewClient(kgo.SeedBrokers(strings.Split(address, ",")...), kgo.RecordPartitioner(kgo.ManualPartitioner()))
	if err != nil {
		return err
	}
	defer it.Close()
	refused := make(chan error, 1)
	for load.Stopping.Err() == nil && len(refused) == 0 {
		partition, value := load.Next()
		it.Produce(context.Background(), &kgo.Record{Topic: load.Topic, Partition: partition, Value: value}, func(record *kgo.Record, err error) {
			if err == nil {
				load.Acknowledged(record.Partition, record.Offset)
				return
			}
			select {
			case refused <- err:
			default:
			}
		})
	}
	if err := it.Flush(context.Background()); err != nil {
		return err
	}
	select {
	case err := <-refused:
		return err
	default:
		return nil
	}
}

func (client) Member(leaving context.Context, address string, group records.Group) error {
	lost := func(_ context.Context, _ *kgo.Client, partitions map[string][]int32) {
		records.Revoked(partitions[group.Topic])
	}
	revoked := func(ctx context.Context, it *kgo.Client, partitions map[string][]int32) {
		if err := commit(it); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		lost(ctx, it, partitions)
	}
	options := []kgo.Opt{
		kgo.SeedBrokers(strings.Split(address, ",")...), kgo.ConsumerGroup(group.Name), kgo.ConsumeTopics(group.Topic), kgo.SessionTimeout(group.Session),
		kgo.HeartbeatInterval(group.Heartbeat), kgo.DisableAutoCommit(), kgo.BlockRebalanceOnPoll(), kgo.OnPartitionsRevoked(revoked),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.OnPartitionsLost(lost),
		kgo.OnPartitionsAssigned(func(_ context.Context, _ *kgo.Client, partitions map[string][]int32) {
			records.Assigned(partitions[group.Topic])
		}),
	}
	switch group.How {
	case "range":
		options = append(options, kgo.Balancers(kgo.RangeBalancer()))
	case "roundrobin":
		options = append(options, kgo.Balancers(kgo.RoundRobinBalancer()))
	case "cooperative":
		options = append(options, kgo.Balancers(kgo.CooperativeStickyBalancer()))
	case "consumer":
		options = append(options, kgo.Balancers(kgo.RangeBalancer()), kgo.ServerSideBalancer())
	}
	it, err := kgo.NewClient(options...)
	if err != nil {
		return err
	}
	defer it.CloseAllowingRebalance()
	for leaving.Err() == nil {
		fetches := it.PollFetches(leaving)
		if err := fetches.Err0(); errors.Is(err, kgo.ErrClientClosed) && leaving.Err() == nil {
			return err
		}
		fetches.EachRecord(func(record *kgo.Record) { records.Tell(record.Partition, record.Offset, record.Value) })
		if fetches.NumRecords() > 0 {
			if err := commit(it); err != nil {
				return err
			}
		}
		it.AllowRebalance()
	}
	return nil
}

// During a rebalance a member that keeps its partitions cannot commit; those that it then gives up are committed before. Where the coordinator is away, what is
// uncommitted is committed with what comes next.
func commit(it *kgo.Client) error {
	switch err := it.CommitUncommittedOffsets(context.Background()); {
	case err == nil:
		records.Committed()
		return nil
	case errors.Is(err, kerr.RebalanceInProgress), errors.As(err, new(*net.OpError)), errors.Is(err, io.EOF), kerr.IsRetriable(err):
		return nil
	default:
		return err
	}
}

func main() { records.Run("github.com/twmb/franz-go", client{}) }
