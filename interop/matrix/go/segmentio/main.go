// segmentio's kafka-go.
package main

import (
	"context"
	"fmt"
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

func main() { records.Run("github.com/segmentio/kafka-go", client{}) }
