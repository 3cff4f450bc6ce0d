// franz-go.
package main

import (
	"context"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
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
		kgo.SeedBrokers(address), kgo.DefaultProduceTopic(topic), kgo.RecordPartitioner(kgo.ManualPartitioner()),
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
	it, err := kgo.NewClient(kgo.SeedBrokers(address), kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{topic: offsets}))
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
	it, err := kgo.NewClient(kgo.SeedBrokers(address))
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

func main() { records.Run("github.com/twmb/franz-go", client{}) }
