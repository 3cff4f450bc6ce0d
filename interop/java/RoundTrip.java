import java.time.Duration;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Properties;
import java.util.Random;
import java.util.concurrent.Future;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.clients.producer.RecordMetadata;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.header.Header;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;
import org.apache.kafka.common.serialization.ByteArraySerializer;

/**
 * Writes records of all shapes with Kafka's Java producer and reads each back from the offset it was acknowledged at.
 *
 * <p>{@code RoundTrip HOST:PORT PREFIX SUFFIX PARTITIONS} prints a line "ok NAME DETAIL" or "FAIL NAME DETAIL" for each codec and kind of
 * acknowledgement. The topics PREFIX-CODEC-KINDSUFFIX are there already.
 */
public final class RoundTrip {
    private static final int RECORDS = 3_000;

    public static void main(String[] args) {
        for (String codec : List.of("none", "gzip", "snappy", "lz4", "zstd")) {
            for (String kind : List.of("idempotent", "leader")) {
                String name = "java-round-trip-" + codec + "-" + kind;
                try {
                    String topic = args[1] + "-" + codec + "-" + kind + args[2];
                    System.out.println("ok " + name + " " + run(args[0], topic, Integer.parseInt(args[3]), codec, kind));
                } catch (Throwable failure) {
                    System.out.println("FAIL " + name + " " + failure);
                }
            }
        }
    }

    private static String run(String bootstrap, String topic, int partitions, String codec, String kind) throws Exception {
        Random random = new Random(topic.hashCode());
        List<ProducerRecord<byte[], byte[]>> written = new ArrayList<>();
        for (int at = 0; at < RECORDS; at++) {
            written.add(record(random, topic, at % partitions));
        }
        Properties settings = new Properties();
        settings.put("bootstrap.servers", bootstrap);
        settings.put("compression.type", codec);
        settings.put("acks", kind.equals("idempotent") ? "all" : "1");
        settings.put("enable.idempotence", kind.equals("idempotent"));
        List<RecordMetadata> acknowledged = new ArrayList<>();
        try (KafkaProducer<byte[], byte[]> producer = new KafkaProducer<>(settings, new ByteArraySerializer(), new ByteArraySerializer())) {
            List<Future<RecordMetadata>> answers = new ArrayList<>();
            for (ProducerRecord<byte[], byte[]> record : written) {
                answers.add(producer.send(record));
            }
            for (Future<RecordMetadata> answer : answers) {
                acknowledged.add(answer.get());
            }
        }
        long bytes = 0;
        Properties reading = new Properties();
        reading.put("bootstrap.servers", bootstrap);
        try (KafkaConsumer<byte[], byte[]> consumer = new KafkaConsumer<>(reading, new ByteArrayDeserializer(), new ByteArrayDeserializer())) {
            List<List<ConsumerRecord<byte[], byte[]>>> read = new ArrayList<>();
            List<TopicPartition> assigned = new ArrayList<>();
            for (int at = 0; at < partitions; at++) {
                read.add(new ArrayList<>());
                assigned.add(new TopicPartition(topic, at));
            }
            consumer.assign(assigned);
            consumer.seekToBeginning(assigned);
            int count = 0;
            long end = System.nanoTime() + 30_000_000_000L;
            while (count < RECORDS && System.nanoTime() < end) {
                for (ConsumerRecord<byte[], byte[]> record : consumer.poll(Duration.ofSeconds(1))) {
                    read.get(record.partition()).add(record);
                    count++;
                }
            }
            check(count == RECORDS, count + " of " + RECORDS + " records came back");
            for (int at = 0; at < RECORDS; at++) {
                RecordMetadata where = acknowledged.get(at);
                ConsumerRecord<byte[], byte[]> back = read.get(where.partition()).get((int) where.offset());
                compare(written.get(at), back, where);
                bytes += back.value() == null ? 0 : back.value().length;
            }
        }
        return RECORDS + " records, " + bytes + " bytes of values";
    }

    private static ProducerRecord<byte[], byte[]> record(Random random, String topic, int partition) {
        byte[] key = random.nextInt(4) == 0 ? null : bytes(random, random.nextInt(40));
        int size = random.nextInt(100) == 0 ? 1 + random.nextInt(200_000) : random.nextInt(500);
        byte[] value = random.nextInt(20) == 0 ? null : bytes(random, size);
        long timestamp = System.currentTimeMillis() - random.nextInt(10_000);
        ProducerRecord<byte[], byte[]> record = new ProducerRecord<>(topic, partition, timestamp, key, value);
        for (int at = random.nextInt(4); at > 0; at--) {
            record.headers().add("header-" + random.nextInt(3), random.nextInt(5) == 0 ? null : bytes(random, random.nextInt(20)));
        }
        return record;
    }

    /** Half of it repeats, so that the codecs have something to do. */
    private static byte[] bytes(Random random, int size) {
        byte[] bytes = new byte[size];
        random.nextBytes(bytes);
        Arrays.fill(bytes, 0, size / 2, (byte) 'x');
        return bytes;
    }

    private static void compare(ProducerRecord<byte[], byte[]> written, ConsumerRecord<byte[], byte[]> read, RecordMetadata where) {
        check(read.offset() == where.offset(), "the offset at " + where);
        check(Arrays.equals(written.key(), read.key()), "the key at " + where);
        check(Arrays.equals(written.value(), read.value()), "the value at " + where);
        check(written.timestamp() == read.timestamp(), "the timestamp at " + where);
        Header[] sent = written.headers().toArray();
        Header[] back = read.headers().toArray();
        check(sent.length == back.length, "the number of headers at " + where);
        for (int at = 0; at < sent.length; at++) {
            check(sent[at].key().equals(back[at].key()) && Arrays.equals(sent[at].value(), back[at].value()), "a header at " + where);
        }
    }

    private static void check(boolean holds, String what) {
        if (!holds) {
            throw new IllegalStateException("differs: " + what);
        }
    }
}
