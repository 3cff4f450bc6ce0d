// sarama.
package main

import (
	"context"
	"fmt"
	"os"
	"sync"
	"time"

	"github.com/IBM/sarama"

	"interop/matrix/records"
)

type client struct{}

var codecs = map[string]sarama.CompressionCodec{
	"none": sarama.CompressionNone, "gzip": sarama.CompressionGZIP, "snappy": sarama.CompressionSnappy,
	"lz4": sarama.CompressionLZ4, "zstd": sarama.CompressionZSTD,
}

func config() *sarama.Config {
	it := sarama.NewConfig()
	it.Version = sarama.MaxVersion
	it.Producer.Return.Successes = true
	it.Producer.RequiredAcks = sarama.WaitForAll
	it.Producer.Partitioner = sarama.NewManualPartitioner
	it.Producer.MaxMessageBytes = 2_500_000
	it.Consumer.Return.Errors = true
	return it
}

func (client) Write(address, topic, codec string, idempotent bool, wanted []records.Record) error {
	settings := config()
	settings.Producer.Compression = codecs[codec]
	if idempotent {
		settings.Producer.Idempotent = true
		settings.Net.MaxOpenRequests = 1
	}
	producer, err := sarama.NewSyncProducer([]string{address}, settings)
	if err != nil {
		return err
	}
	defer producer.Close()
	var messages []*sarama.ProducerMessage
	for _, record := range wanted {
		message := &sarama.ProducerMessage{Topic: topic, Partition: record.Partition, Timestamp: time.UnixMilli(record.Timestamp)}
		if record.Key != nil {
			message.Key = sarama.ByteEncoder(record.Key)
		}
		if record.Value != nil {
			message.Value = sarama.ByteEncoder(record.Value)
		}
		for _, header := range record.Headers {
			message.Headers = append(message.Headers, sarama.RecordHeader{Key: []byte(header.Name), Value: header.Value})
		}
		messages = append(messages, message)
	}
	return producer.SendMessages(messages)
}

func (client) Read(address, topic string, partitions int32, count int) error {
	consumer, err := sarama.NewConsumer([]string{address}, config())
	if err != nil {
		return err
	}
	defer consumer.Close()
	messages := make(chan *sarama.ConsumerMessage)
	failures := make(chan error)
	for partition := range partitions {
		part, err := consumer.ConsumePartition(topic, partition, sarama.OffsetOldest)
		if err != nil {
			return err
		}
		go func() {
			for message := range part.Messages() {
				messages <- message
			}
		}()
		go func() {
			for failure := range part.Errors() {
				failures <- failure
			}
		}()
	}
	for seen := range count {
		select {
		case message := <-messages:
			shown := records.Record{
				Partition: message.Partition, Offset: message.Offset, Key: message.Key, Value: message.Value, Timestamp: message.Timestamp.UnixMilli(),
			}
			for _, header := range message.Headers {
				shown.Headers = append(shown.Headers, records.Header{Name: string(header.Key), Value: header.Value})
			}
			records.Show(shown)
		case failure := <-failures:
			return failure
		case <-time.After(20 * time.Second):
			return fmt.Errorf("%d of %d records", seen, count)
		}
	}
	return nil
}

func (client) Times(address, topic string, timestamps []int64) ([]int64, error) {
	it, err := sarama.NewClient([]string{address}, config())
	if err != nil {
		return nil, err
	}
	defer it.Close()
	var found []int64
	for _, timestamp := range timestamps {
		offset, err := it.GetOffset(topic, 0, timestamp)
		if err != nil {
			return nil, err
		}
		found = append(found, offset)
	}
	return found, nil
}

// One partition's records at a time are told and committed.
type handler struct {
	topic string
	whole sync.Mutex
}

func (it *handler) Setup(session sarama.ConsumerGroupSession) error {
	records.Assigned(session.Claims()[it.topic])
	return nil
}

func (it *handler) Cleanup(session sarama.ConsumerGroupSession) error {
	records.Revoked(session.Claims()[it.topic])
	return nil
}

func (it *handler) ConsumeClaim(session sarama.ConsumerGroupSession, claim sarama.ConsumerGroupClaim) error {
	for message := range claim.Messages() {
		it.whole.Lock()
		records.Tell(message.Partition, message.Offset, message.Value)
		session.MarkMessage(message, "")
		for more := len(claim.Messages()); more > 0; more-- {
			message = <-claim.Messages()
			records.Tell(message.Partition, message.Offset, message.Value)
			session.MarkMessage(message, "")
		}
		session.Commit()
		records.Committed()
		it.whole.Unlock()
	}
	return nil
}

func (client) Member(leaving context.Context, address string, group records.Group) error {
	settings := config()
	settings.Consumer.Group.Session.Timeout = group.Session
	settings.Consumer.Group.Heartbeat.Interval = group.Heartbeat
	settings.Consumer.Offsets.AutoCommit.Enable = false
	settings.Consumer.Offsets.Initial = sarama.OffsetOldest
	strategies := map[string]sarama.BalanceStrategy{
		"range": sarama.NewBalanceStrategyRange(), "roundrobin": sarama.NewBalanceStrategyRoundRobin(),
	}
	settings.Consumer.Group.Rebalance.GroupStrategies = []sarama.BalanceStrategy{strategies[group.How]}
	it, err := sarama.NewConsumerGroup([]string{address}, group.Name, settings)
	if err != nil {
		return err
	}
	// Whether a commit went well is told here only.
	go func() {
		for failure := range it.Errors() {
			fmt.Fprintln(os.Stderr, failure)
			os.Exit(1)
		}
	}()
	for leaving.Err() == nil {
		if err := it.Consume(leaving, []string{group.Topic}, &handler{topic: group.Topic}); err != nil {
			return err
		}
	}
	return it.Close()
}

func main() { records.Run("github.com/IBM/sarama", client{}) }
