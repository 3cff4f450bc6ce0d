"""One record every few milliseconds to one partition by librdkafka with its defaults; says of each acknowledged record when it was sent and when it was acknowledged.

    steady_producer.py BOOTSTRAP TOPIC PARTITION [EVERY_MS]        needs confluent-kafka: interop/install.sh clients

Both moments are the machine's monotonic seconds, so that whoever kills a broker can hold them against the moment of that.
"""

import sys
import time

from confluent_kafka import Producer


def main():
    address, topic, partition = sys.argv[1], sys.argv[2], int(sys.argv[3])
    every_s = float(sys.argv[4] if len(sys.argv) > 4 else 5) / 1000
    producer = Producer({"bootstrap.servers": address, "log_level": 2})

    def delivered(sent_at):
        return lambda error, _message: print(f"refused {sent_at} {error}" if error else f"acknowledged {sent_at} {time.monotonic()}", flush=True)

    due = time.monotonic()
    while True:
        producer.produce(topic, b"x" * 100, partition=partition, on_delivery=delivered(time.monotonic()))
        due += every_s
        while (left_s := due - time.monotonic()) > 0:
            producer.poll(left_s)


if __name__ == "__main__":
    main()
