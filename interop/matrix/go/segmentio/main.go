// segmentio's kafka-go.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync"
	"time"

	"github.com/segmentio/kafka-go"

	"interop/matrix/records"
)

type client struct{}

var codecs = map[string]kafka.Compression{
	"none": 0, "gzip": kafka.Gzip, "snappy": kafka.Snappy, "lz4": kafka.Lz4, "zstd": kafka.Zstd,
}

// Each message names its partition by its place in the list that the test made.
type chosen struct{ next []int32 }

func (it *chosen) Balance(_ kafka.Message, _ ...int) int {
	partition := it.next[0]
	it.next = it.next[1:]
	return int(partition)
}

func (client) Write(address, topic, codec string, _ bool, wanted []records.Record) error {
	balancer := &chosen{}
	writer := &kafka.Writer{
		Addr: kafka.TCP(address), Topic: topic, Balancer: balancer, RequiredAcks: kafka.RequireAll, Compression: codecs[codec],
		BatchTimeout: 5 * time.Millisecond, BatchBytes: 2_500_000,
	}
	defer writer.Close()
	var messages []kafka.Message
	for _, record := range wanted {
		message := kafka.Message{Key: record.Key, Value: record.Value, Time: time.UnixMilli(record.Timestamp)}
		for _, header := range record.Headers {
			message.Headers = append(message.Headers, kafka.Header{Key: header.Name, Value: header.Value})
		}
		messages = append(messages, message)
		balancer.next = append(balancer.next, record.Partition)
	}
	return writer.WriteMessages(context.Background(), messages...)
}

func (client) Read(address, topic string, partitions int32, count int) error {
	seen := 0
	for partition := range partitions {
		connection, err := kafka.DialLeader(context.Background(), "tcp", address, topic, int(partition))
		if err != nil {
			return err
		}
		end, err := connection.ReadLastOffset()
		connection.Close()
		if err != nil {
			return err
		}
		reader := kafka.NewReader(kafka.ReaderConfig{
			Brokers: []string{address}, Topic: topic, Partition: int(partition), MaxBytes: 8 << 20, MaxWait: 100 * time.Millisecond,
		})
		for offset := int64(0); offset < end; {
			ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
			message, err := reader.ReadMessage(ctx)
			cancel()
			if err != nil {
				return fmt.Errorf("partition %d after offset %d: %w", partition, offset, err)
			}
			shown := records.Record{
				Partition: partition, Offset: message.Offset, Key: message.Key, Value: message.Value, Timestamp: message.Time.UnixMilli(),
			}
			for _, header := range message.Headers {
				shown.Headers = append(shown.Headers, records.Header{Name: header.Key, Value: header.Value})
			}
			records.Show(shown)
			seen++
			offset = message.Offset + 1
		}
		reader.Close()
	}
	if seen != count {
		return fmt.Errorf("%d of %d records", seen, count)
	}
	return nil
}

func (client) Times(address, topic string, timestamps []int64) ([]int64, error) {
	connection, err := kafka.DialLeader(context.Background(), "tcp", address, topic, 0)
	if err != nil {
		return nil, err
	}
	defer connection.Close()
	var found []int64
	for _, timestamp := range timestamps {
		offset, err := connection.ReadOffset(time.UnixMilli(timestamp))
		if err != nil {
			return nil, err
		}
		found = append(found, offset)
	}
	return found, nil
}

func (client) Member(leaving context.Context, address string, group records.Group) error {
	balancers := map[string]kafka.GroupBalancer{"range": kafka.RangeGroupBalancer{}, "roundrobin": kafka.RoundRobinGroupBalancer{}}
	it, err := kafka.NewConsumerGroup(kafka.ConsumerGroupConfig{
		ID: group.Name, Brokers: []string{address}, Topics: []string{group.Topic}, GroupBalancers: []kafka.GroupBalancer{balancers[group.How]},
		SessionTimeout: group.Session, HeartbeatInterval: group.Heartbeat, StartOffset: kafka.FirstOffset,
	})
	if err != nil {
		return err
	}
	for {
		generation, err := it.Next(leaving)
		if leaving.Err() != nil {
			return it.Close()
		}
		if errors.Is(err, kafka.ErrGroupClosed) {
			return err
		}
		if err != nil {
			// One join that went wrong, as by another member's: the library tries again, and its own reader goes on too.
			fmt.Fprintln(os.Stderr, err)
			continue
		}
		generation.Start(func(ctx context.Context) { readAssigned(ctx, address, group.Topic, generation) })
	}
}

// Reads what this generation has given, until it ends.
func readAssigned(ctx context.Context, address, topic string, generation *kafka.Generation) {
	var partitions []int
	messages := make(chan kafka.Message)
	var reading sync.WaitGroup
	for _, given := range generation.Assignments[topic] {
		partitions = append(partitions, given.ID)
		reading.Go(func() { readPartition(ctx, address, topic, given, messages) })
	}
	records.Assigned(partitions)
	for ctx.Err() == nil {
		select {
		case message := <-messages:
			tellAndCommit(generation, message, messages)
		case <-ctx.Done():
		}
	}
	reading.Wait()
	records.Revoked(partitions)
}

func readPartition(ctx context.Context, address, topic string, from kafka.PartitionAssignment, messages chan<- kafka.Message) {
	reader := kafka.NewReader(kafka.ReaderConfig{Brokers: []string{address}, Topic: topic, Partition: from.ID, MaxWait: 100 * time.Millisecond})
	defer reader.Close()
	err := reader.SetOffset(from.Offset)
	for err == nil {
		var message kafka.Message
		if message, err = reader.ReadMessage(ctx); err == nil {
			select {
			case messages <- message:
			case <-ctx.Done():
			}
		}
	}
	if ctx.Err() == nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func tellAndCommit(generation *kafka.Generation, message kafka.Message, more <-chan kafka.Message) {
	next := map[int]int64{}
	for there := true; there; {
		records.Tell(int32(message.Partition), message.Offset, message.Value)
		next[message.Partition] = message.Offset + 1
		select {
		case message = <-more:
		default:
			there = false
		}
	}
	if err := generation.CommitOffsets(map[string]map[int]int64{message.Topic: next}); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	records.Committed()
}

func main() { records.Run("github.com/segmentio/kafka-go", client{}) }
