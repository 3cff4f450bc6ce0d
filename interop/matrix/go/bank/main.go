// Transfers of franz-go; the words are those of ../../../bank.py.
package main

import (
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"math/rand"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
)

type bank struct {
	open                 func() (*kgo.Client, error)
	producer             *kgo.Client
	topic                string
	partitions, accounts int
}

// What a transfer ended as, as far as is known.
const (
	committed = "committed"
	aborted   = "aborted"
	unknown   = "unknown"
)

func number(word string) int {
	it, err := strconv.Atoi(word)
	if err != nil {
		panic(err)
	}
	return it
}

func fenced(err error) bool {
	return errors.Is(err, kerr.ProducerFenced) || errors.Is(err, kerr.InvalidProducerEpoch) || errors.Is(err, kerr.InvalidProducerIDMapping)
}

func (it *bank) transfer(name string, aborts bool) (string, error) {
	seed := fnv.New64()
	seed.Write([]byte(name))
	dice := rand.New(rand.NewSource(int64(seed.Sum64())))
	from := dice.Intn(it.accounts)
	to := from
	for to%it.partitions == from%it.partitions {
		to = dice.Intn(it.accounts)
	}
	amount := 1 + dice.Intn(100)
	record := func(account, change int) *kgo.Record {
		return &kgo.Record{
			Topic: it.topic, Partition: int32(account % it.partitions), Key: []byte(strconv.Itoa(account)), Value: fmt.Appendf(nil, "%s %d", name, change),
		}
	}
	if err := it.producer.BeginTransaction(); err != nil {
		return unknown, err
	}
	failure := it.producer.ProduceSync(context.Background(), record(from, -amount), record(to, amount)).FirstErr()
	if failure == nil && !aborts {
		failure = it.producer.EndTransaction(context.Background(), kgo.TryCommit)
		if failure == nil {
			return committed, nil
		}
		if !fenced(failure) {
			fmt.Fprintln(os.Stderr, name, "may be committed:", failure)
			return unknown, it.again()
		}
	}
	if failure != nil {
		if fenced(failure) {
			return unknown, failure
		}
		fmt.Fprintln(os.Stderr, name, "is aborted:", failure)
	}
	return aborted, it.producer.EndTransaction(context.Background(), kgo.TryAbort)
}

// The answer to a commit is lost. The client would ask for its old epoch again and call that an abort: where the coordinator has moved meanwhile it is fenced for it, by
// Apache Kafka too, and elsewhere the commit may have gone through. A new client comes after whatever became of it.
func (it *bank) again() error {
	it.producer.Close()
	for {
		producer, err := it.open()
		if err == nil || fenced(err) {
			it.producer = producer
			return err
		}
		fmt.Fprintln(os.Stderr, err)
	}
}

func main() {
	address, topic, partitions, accounts := os.Args[1], os.Args[2], number(os.Args[3]), number(os.Args[4])
	id, run, timeout := os.Args[5], os.Args[6], time.Duration(number(os.Args[7]))*time.Millisecond
	leaving, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	open := func() (*kgo.Client, error) {
		producer, err := kgo.NewClient(kgo.SeedBrokers(strings.Split(address, ",")...), kgo.TransactionalID(id), kgo.TransactionTimeout(timeout),
			kgo.RecordPartitioner(kgo.ManualPartitioner()))
		if err != nil {
			return nil, err
		}
		if _, _, err = producer.ProducerID(context.Background()); err != nil {
			producer.Close()
		}
		return producer, err
	}
	producer, err := open()
	if err == nil {
		fmt.Println("started")
	}
	bank := &bank{open, producer, topic, partitions, accounts}
	for at := 0; err == nil && leaving.Err() == nil; at++ {
		name := fmt.Sprintf("%s-%d", run, at)
		var outcome string
		outcome, err = bank.transfer(name, at%5 == 4)
		if err == nil && outcome != unknown {
			fmt.Println(outcome, name)
		}
	}
	if fenced(err) {
		fmt.Println("fenced")
	} else if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
