// Package records is what the programs of the matrix have in common: their command line (see ../../python/records.py) and the form of their records.
package records

import (
	"bufio"
	"context"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"os/signal"
	"runtime/debug"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// Header is a name and its value, nil for none.
type Header struct {
	Name  string
	Value []byte
}

// Record is one record in one partition.
type Record struct {
	Partition int32
	Offset    int64
	Key       []byte
	Value     []byte
	Headers   []Header
	Timestamp int64
}

// Client is what a library has to do.
type Client interface {
	Write(address, topic, codec string, idempotent bool, wanted []Record) error
	Read(address, topic string, partitions int32, count int) error
	Times(address, topic string, timestamps []int64) ([]int64, error)
	Member(leaving context.Context, address string, group Group) error
}

// Loader is a client that goes on writing.
type Loader interface {
	Load(address string, load *Load) error
}

// Load is what to write next, and when.
type Load struct {
	Topic string
	sent  []int64
	rate  float64
	begun time.Time
	// Stopping is done when it is enough.
	Stopping context.Context
}

// Next waits until a record is due, and gives its partition and value.
func (it *Load) Next() (int32, []byte) {
	var count int64
	for _, sent := range it.sent {
		count += sent
	}
	time.Sleep(time.Until(it.begun.Add(time.Duration(float64(count) / it.rate * float64(time.Second)))))
	partition := count % int64(len(it.sent))
	value := fmt.Sprintf("%d-%d", partition, it.sent[partition])
	it.sent[partition]++
	return int32(partition), []byte(value)
}

// Acknowledged tells of a record.
func (it *Load) Acknowledged(partition int32, offset int64) { tell("acknowledged", partition, offset) }

func load(client Client, words []string) {
	loader, able := client.(Loader)
	if !able {
		check(fmt.Errorf("this client does not load"))
	}
	partitions, err := strconv.Atoi(words[2])
	check(err)
	rate, err := strconv.ParseFloat(words[3], 64)
	check(err)
	stopping, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	it := &Load{Topic: words[1], sent: make([]int64, partitions), rate: rate, begun: time.Now(), Stopping: stopping}
	check(loader.Load(words[0], it))
	tell("sent", strings.Trim(strings.ReplaceAll(fmt.Sprint(it.sent), " ", ","), "[]"))
}

// Group is what a member has to know of its group.
type Group struct {
	Name, Topic, How   string
	Session, Heartbeat time.Duration
}

type line struct {
	P int32        `json:"p"`
	O int64        `json:"o"`
	K *string      `json:"k"`
	V *string      `json:"v"`
	H [][2]*string `json:"h"`
	T int64        `json:"t"`
}

func fromHex(text *string) []byte {
	if text == nil {
		return nil
	}
	data, err := hex.DecodeString(*text)
	check(err)
	if data == nil {
		data = []byte{}
	}
	return data
}

func toHex(data []byte) *string {
	if data == nil {
		return nil
	}
	text := hex.EncodeToString(data)
	return &text
}

func recordsOf(path string) []Record {
	file, err := os.Open(path)
	check(err)
	defer file.Close()
	var records []Record
	lines := json.NewDecoder(bufio.NewReader(file))
	for lines.More() {
		var it line
		check(lines.Decode(&it))
		record := Record{Partition: it.P, Key: fromHex(it.K), Value: fromHex(it.V), Timestamp: it.T}
		for _, header := range it.H {
			record.Headers = append(record.Headers, Header{*header[0], fromHex(header[1])})
		}
		records = append(records, record)
	}
	return records
}

var output = bufio.NewWriter(os.Stdout)

// Show prints a record that was read.
func Show(it Record) {
	shown := line{P: it.Partition, O: it.Offset, K: toHex(it.Key), V: toHex(it.Value), H: [][2]*string{}, T: it.Timestamp}
	for _, header := range it.Headers {
		name := header.Name
		shown.H = append(shown.H, [2]*string{&name, toHex(header.Value)})
	}
	text, err := json.Marshal(shown)
	check(err)
	output.Write(append(text, '\n'))
}

// Assigned tells what a member was given.
func Assigned[P int | int32](partitions []P) { changed("assigned", partitions) }

// Revoked tells what a member does not read any more.
func Revoked[P int | int32](partitions []P) { changed("revoked", partitions) }

func changed[P int | int32](what string, partitions []P) {
	if len(partitions) > 0 {
		tell(what, strings.Trim(strings.ReplaceAll(fmt.Sprint(partitions), " ", ","), "[]"))
	}
}

// Tell tells a record that a member read.
func Tell(partition int32, offset int64, value []byte) {
	tell("record", partition, offset, string(value))
}

// Committed tells that every record told before is committed.
func Committed() { tell("committed") }

func tell(words ...any) {
	_, err := fmt.Println(words...)
	check(err)
}

func member(client Client, words []string) {
	session, err := time.ParseDuration(words[4] + "ms")
	check(err)
	heartbeat, err := time.ParseDuration(words[5] + "ms")
	check(err)
	leaving, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	tell("started")
	check(client.Member(leaving, words[0], Group{Topic: words[1], Name: words[2], How: words[3], Session: session, Heartbeat: heartbeat}))
}

// Run does what the command line says with the client, which comes from the module of that path.
func Run(module string, client Client) {
	words := os.Args[1:]
	switch {
	case len(words) == 6 && words[0] == "write":
		check(client.Write(words[1], words[2], words[3], words[4] == "idempotent", recordsOf(words[5])))
	case len(words) == 5 && words[0] == "read":
		partitions, err := strconv.Atoi(words[3])
		check(err)
		count, err := strconv.Atoi(words[4])
		check(err)
		check(client.Read(words[1], words[2], int32(partitions), count))
	case len(words) > 3 && words[0] == "times":
		var timestamps []int64
		for _, word := range words[3:] {
			timestamp, err := strconv.ParseInt(word, 10, 64)
			check(err)
			timestamps = append(timestamps, timestamp)
		}
		found, err := client.Times(words[1], words[2], timestamps)
		check(err)
		check(json.NewEncoder(output).Encode(found))
	case len(words) == 7 && words[0] == "member":
		member(client, words[1:])
	case len(words) == 5 && words[0] == "load":
		load(client, words[1:])
	case len(words) == 1 && words[0] == "version":
		info, _ := debug.ReadBuildInfo()
		for _, dependency := range info.Deps {
			if dependency.Path == module {
				fmt.Fprintln(output, dependency.Version)
			}
		}
	default:
		check(fmt.Errorf("unknown command %v", words))
	}
	check(output.Flush())
}

func check(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
